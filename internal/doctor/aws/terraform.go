package aws

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// terraformPage explains how to keep Terraform from putting an older value back.
const terraformPage = "docs/terraform.md"

// checkTerraform checks what a tool that owns the secret's value does to it.
func (r *run) checkTerraform(context.Context) error {
	const check = "terraform"
	if r.secret == nil {
		return nil
	}
	r.judgeTags(r.secret.Tags)
	switch {
	case r.platform == nil || r.current == nil || r.current.document == nil:
		r.report.Skip("what the function has noted is not known", check)
	case r.putByOthers():
		text := "another writer put a value after the last rotation (Terraform?), at " + minute(aws.ToTime(r.current.CreatedDate))
		if r.platform.Stored.ClientSecret.Fingerprint() == r.platform.Note.LastRotation.Over {
			text += ": the one that the rotation has revoked"
		}
		r.report.Warn(check, "keep it from doing so again, see "+terraformPage, "%s", text)
	default:
		r.report.OK(check, "no value was put after the last rotation")
	}
	return nil
}

// putByOthers reports whether another writer has put a value into the secret after our last rotation. A value that Maia holds, or
// that was seen running since, does not count: the function itself has brought it there.
func (r *run) putByOthers() bool {
	note, stored := r.platform.Note, r.platform.Stored
	fingerprint := stored.ClientSecret.Fingerprint()
	return note.LastRotation != nil && fingerprint != note.LastRotation.New && aws.ToTime(r.current.CreatedDate).After(note.LastRotation.At) &&
		(note.Applied == rotate.AppliedNothing || note.Applied != fingerprint) && (r.held == nil || !r.held.Equal(stored))
}

// judgeTags names the tool that, by a tag, owns the secret.
func (r *run) judgeTags(tags []types.Tag) {
	const check = "managed-by"
	for _, tag := range tags {
		key, value := aws.ToString(tag.Key), strings.ToLower(aws.ToString(tag.Value))
		switch {
		case key == "aws:cloudformation:stack-name":
			r.report.OK(check, "the secret is of the CloudFormation stack %s: an update that changes its SecretString puts that value in place "+
				"of the rotated one", aws.ToString(tag.Value))
		case value == "terraform", value == "opentofu", strings.EqualFold(key, "terraform") && value == "true":
			r.report.OK(check, "its tag %s says that Terraform manages it: see %s on how to keep it from putting the value back", key, terraformPage)
		}
	}
}
