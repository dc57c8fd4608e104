package secretsmanager_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
)

func newServer(t *testing.T, options secretsmanager.Options) (*secretsmanager.Server, *sm.Client) {
	t.Helper()
	server := secretsmanager.New(options)
	t.Cleanup(server.Close)
	return server, sm.NewFromConfig(awstest.Config("eu-west-1", server))
}

// token returns a ClientRequestToken that starts with the name.
func token(name string) string { return name + strings.Repeat("0", 36-len(name)) }

// labels returns the labels of the versions that have any, as "id:A+B", in the order of their creation. Random ids are left out.
func labels(server *secretsmanager.Server, arn string) string {
	var all []string
	for _, v := range server.Versions(arn) {
		if len(v.Stages) > 0 {
			name := strings.TrimRight(v.ID, "0")
			if strings.Contains(name, "-") {
				name = "?"
			}
			all = append(all, name+":"+strings.Join(v.Stages, "+"))
		}
	}
	return strings.Join(all, " ")
}

func wantLabels(t *testing.T, server *secretsmanager.Server, arn, want string) {
	t.Helper()
	if got := labels(server, arn); got != want {
		t.Errorf("labels %q, want %q", got, want)
	}
}

// put puts a value under a token with the labels.
func put(t *testing.T, c *sm.Client, arn, name, value string, stages ...string) error {
	t.Helper()
	_, err := c.PutSecretValue(t.Context(), &sm.PutSecretValueInput{
		SecretId: &arn, ClientRequestToken: aws.String(token(name)), SecretString: &value, VersionStages: stages,
	})
	return err
}

func mustPut(t *testing.T, c *sm.Client, arn, name, value string, stages ...string) {
	t.Helper()
	if err := put(t, c, arn, name, value, stages...); err != nil {
		t.Fatal(err)
	}
}

func describe(t *testing.T, c *sm.Client, arn string) *sm.DescribeSecretOutput {
	t.Helper()
	out, err := c.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: &arn})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCreateSecret(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	create := func(name, id, value string) (*sm.CreateSecretOutput, error) {
		return c.CreateSecret(t.Context(), &sm.CreateSecretInput{
			Name: &name, ClientRequestToken: aws.String(token(id)), SecretString: &value, Description: aws.String("text"),
		})
	}
	out, err := create("app/runner", "one", "value")
	awstest.WantError(t, err, "", "")
	if !strings.HasPrefix(*out.ARN, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/runner-") ||
		len(*out.ARN)-strings.LastIndex(*out.ARN, "-") != 7 || *out.VersionId != token("one") {
		t.Errorf("out = %+v", out)
	}
	wantLabels(t, server, *out.ARN, "one:AWSCURRENT")
	if d := describe(t, c, *out.ARN); *d.Description != "text" || *d.Name != "app/runner" || d.RotationEnabled != nil {
		t.Errorf("described as %+v", d)
	}
	again, err := create("app/runner", "one", "value")
	awstest.WantError(t, err, "", "")
	if *again.ARN != *out.ARN {
		t.Error("a repeated request made another secret")
	}
	_, err = create("app/runner", "one", "other")
	awstest.WantError(t, err, "ResourceExistsException", "already exists")
	_, err = create("app/runner", "two", "value")
	awstest.WantError(t, err, "ResourceExistsException", "already exists")
	_, err = create("no spaces", "one", "value")
	awstest.WantError(t, err, "ValidationException", "Invalid name")
	_, err = create("empty", "one", "")
	awstest.WantError(t, err, "ValidationException", "greater than or equal to 1")

	_, err = c.CreateSecret(t.Context(), &sm.CreateSecretInput{Name: aws.String("empty"), ClientRequestToken: aws.String("short")})
	awstest.WantError(t, err, "InvalidParameterException", "32-64")
	out, err = c.CreateSecret(t.Context(), &sm.CreateSecretInput{Name: aws.String("empty")})
	awstest.WantError(t, err, "", "")
	if out.VersionId != nil || len(server.Versions(*out.ARN)) != 0 {
		t.Errorf("out = %+v", out)
	}
}

func TestSecretID(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("app/runner", "value")
	for id, code := range map[string]string{
		arn:                 "",
		arn[:len(arn)-7]:    "",
		"app/runner":        "",
		"runner":            "ResourceNotFoundException",
		arn[:len(arn)-1]:    "ResourceNotFoundException",
		arn + "x":           "ResourceNotFoundException",
		"app/runner-123456": "ResourceNotFoundException",
		strings.Replace(arn, "eu-west-1", "us-east-1", 1): "ResourceNotFoundException",
		strings.Repeat("a", 2049):                         "ValidationException",
		"":                                                "ValidationException",
	} {
		_, err := c.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: &id})
		awstest.WantError(t, err, code, "")
	}
	_, err := c.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: aws.String("absent")})
	awstest.WantError(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// Every operation says it of a secret that does not exist.
func TestSecretNotFound(t *testing.T) {
	_, c := newServer(t, secretsmanager.Options{})
	ctx, id := t.Context(), aws.String("absent")
	var errs []error
	do := func(_ any, err error) { errs = append(errs, err) }
	do(c.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: id}))
	do(c.PutSecretValue(ctx, &sm.PutSecretValueInput{SecretId: id, SecretString: id}))
	do(c.UpdateSecret(ctx, &sm.UpdateSecretInput{SecretId: id, SecretString: id}))
	do(c.UpdateSecretVersionStage(ctx,
		&sm.UpdateSecretVersionStageInput{SecretId: id, VersionStage: id, MoveToVersionId: aws.String(token("one"))}))
	do(c.ListSecretVersionIds(ctx, &sm.ListSecretVersionIdsInput{SecretId: id}))
	do(c.RotateSecret(ctx, &sm.RotateSecretInput{SecretId: id}))
	do(c.CancelRotateSecret(ctx, &sm.CancelRotateSecretInput{SecretId: id}))
	for _, err := range errs {
		awstest.WantError(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
}

func TestGetSecretValue(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddEmptySecret("runner")
	get := func(id, stage string) (*sm.GetSecretValueOutput, error) {
		in := &sm.GetSecretValueInput{SecretId: &arn}
		if id != "" {
			in.VersionId = &id
		}
		if stage != "" {
			in.VersionStage = &stage
		}
		return c.GetSecretValue(t.Context(), in)
	}
	_, err := get("", "")
	awstest.WantError(t, err, "ResourceNotFoundException",
		"Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")

	mustPut(t, c, arn, "one", "first")
	mustPut(t, c, arn, "two", "second", "AWSPENDING", "ours")
	for _, test := range []struct{ id, stage, want, code, words string }{
		{"", "", "first", "", ""},
		{"", "AWSCURRENT", "first", "", ""},
		{"", "AWSPENDING", "second", "", ""},
		{"", "ours", "second", "", ""},
		{token("two"), "", "second", "", ""},
		{token("two"), "AWSPENDING", "second", "", ""},
		{token("two"), "AWSCURRENT", "", "InvalidRequestException", "VersionStage that is not associated"},
		{token("three"), "", "", "ResourceNotFoundException", "secret value for VersionId: " + token("three")},
		{"", "AWSPREVIOUS", "", "ResourceNotFoundException", "secret value for staging label: AWSPREVIOUS"},
		{"short", "", "", "InvalidParameterException", "32-64"},
	} {
		out, err := get(test.id, test.stage)
		awstest.WantError(t, err, test.code, test.words)
		if err == nil && (*out.SecretString != test.want || *out.ARN != arn || *out.Name != "runner" || out.CreatedDate == nil) {
			t.Errorf("out = %+v, want %s", out, test.want)
		}
	}
	out, _ := get("", "ours")
	if *out.VersionId != token("two") || !slices.Equal(out.VersionStages, []string{"AWSPENDING", "ours"}) {
		t.Errorf("out = %+v", out)
	}
}

func TestBinary(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddBinarySecret("runner", []byte{0, 1})
	out, err := c.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &arn})
	awstest.WantError(t, err, "", "")
	if out.SecretString != nil || !slices.Equal(out.SecretBinary, []byte{0, 1}) || server.Versions(arn)[0].Value != "\x00\x01" {
		t.Errorf("out = %+v", out)
	}
	in := &sm.PutSecretValueInput{SecretId: &arn, ClientRequestToken: aws.String(token("two")), SecretBinary: []byte{2}}
	for range 2 {
		_, err = c.PutSecretValue(t.Context(), in)
		awstest.WantError(t, err, "", "")
	}
	in.SecretBinary, in.SecretString = nil, aws.String("\x02")
	_, err = c.PutSecretValue(t.Context(), in)
	awstest.WantError(t, err, "ResourceExistsException", "")
}

func TestPutSecretValueIsChecked(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "value")
	long := strings.Repeat("a", 257)
	many := slices.Repeat([]string{"a"}, 21)
	for name, test := range map[string]struct {
		edit        func(*sm.PutSecretValueInput)
		code, words string
	}{
		"good": {func(*sm.PutSecretValueInput) {}, "", ""},
		"short token": {func(in *sm.PutSecretValueInput) { in.ClientRequestToken = aws.String(long[:31]) },
			"InvalidParameterException", "32-64"},
		"long token": {func(in *sm.PutSecretValueInput) { in.ClientRequestToken = aws.String(long[:65]) },
			"InvalidParameterException", "32-64"},
		"32 characters": {func(in *sm.PutSecretValueInput) { in.ClientRequestToken = aws.String(long[:32]) }, "", ""},
		"64 characters": {func(in *sm.PutSecretValueInput) { in.ClientRequestToken = aws.String(long[:64]) }, "", ""},
		"no token": {func(in *sm.PutSecretValueInput) { in.ClientRequestToken = aws.String("") }, "InvalidRequestException",
			"You must provide a ClientRequestToken"},
		"no value": {func(in *sm.PutSecretValueInput) { in.SecretString = nil }, "InvalidRequestException",
			"either SecretString or SecretBinary"},
		"two values": {func(in *sm.PutSecretValueInput) { in.SecretBinary = []byte("v") }, "InvalidParameterException", "both"},
		"empty": {func(in *sm.PutSecretValueInput) { in.SecretString = aws.String("") }, "ValidationException",
			"secretString"},
		"65536 bytes": {func(in *sm.PutSecretValueInput) { in.SecretString = aws.String(strings.Repeat("a", 65536)) }, "", ""},
		"65537 bytes": {func(in *sm.PutSecretValueInput) { in.SecretString = aws.String(strings.Repeat("a", 65537)) },
			"ValidationException", "65536"},
		"65538 in runes": {func(in *sm.PutSecretValueInput) { in.SecretString = aws.String(strings.Repeat("é", 32769)) },
			"ValidationException", "65536"},
		"large binary": {func(in *sm.PutSecretValueInput) { in.SecretString, in.SecretBinary = nil, make([]byte, 65537) },
			"ValidationException", "secretBinary"},
		"no labels": {func(in *sm.PutSecretValueInput) { in.VersionStages = []string{} }, "ValidationException",
			"versionStages"},
		"many labels": {func(in *sm.PutSecretValueInput) { in.VersionStages = many }, "ValidationException", "versionStages"},
		"empty label": {func(in *sm.PutSecretValueInput) { in.VersionStages = []string{""} }, "ValidationException",
			"versionStage"},
		"long label": {func(in *sm.PutSecretValueInput) { in.VersionStages = []string{long} }, "ValidationException",
			"versionStage"},
		"label twice": {func(in *sm.PutSecretValueInput) { in.VersionStages = []string{"a", "a"} }, "", ""},
		"rotation token that is short": {func(in *sm.PutSecretValueInput) { in.RotationToken = aws.String("") }, "ValidationException",
			"rotationToken"},
		"rotation token of none": {func(in *sm.PutSecretValueInput) { in.RotationToken = aws.String(token("x")) }, "AccessDeniedException",
			"RotationToken"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(server.Versions(arn))
			in := &sm.PutSecretValueInput{SecretId: &arn, SecretString: aws.String("v")}
			test.edit(in)
			_, err := c.PutSecretValue(t.Context(), in)
			awstest.WantError(t, err, test.code, test.words)
			if added := len(server.Versions(arn)) - before; (added == 1) != (err == nil) {
				t.Errorf("%d versions added", added)
			}
		})
	}
}

func TestPutSecretValueMovesLabels(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddEmptySecret("runner")

	mustPut(t, c, arn, "one", "1", "AWSPENDING") // the first one is current, too
	wantLabels(t, server, arn, "one:AWSCURRENT+AWSPENDING")
	mustPut(t, c, arn, "two", "2", "AWSPENDING", "ours")
	wantLabels(t, server, arn, "one:AWSCURRENT two:AWSPENDING+ours")
	mustPut(t, c, arn, "three", "3") // no labels: AWSCURRENT
	wantLabels(t, server, arn, "one:AWSPREVIOUS two:AWSPENDING+ours three:AWSCURRENT")
	mustPut(t, c, arn, "four", "4", "AWSCURRENT", "ours")
	wantLabels(t, server, arn, "two:AWSPENDING three:AWSPREVIOUS four:AWSCURRENT+ours")

	// The version without labels is deprecated: not described, still readable.
	if got := describe(t, c, arn).VersionIdsToStages; len(got) != 3 || got[token("one")] != nil {
		t.Errorf("described %v", got)
	}
	out, err := c.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &arn, VersionId: aws.String(token("one"))})
	awstest.WantError(t, err, "", "")
	if *out.SecretString != "1" {
		t.Error(*out.SecretString)
	}
}

func TestPutSecretValueIsIdempotent(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "0")
	mustPut(t, c, arn, "one", "1", "AWSPENDING")
	changed := describe(t, c, arn).LastChangedDate
	mustPut(t, c, arn, "one", "1", "AWSPENDING")
	mustPut(t, c, arn, "one", "1") // ignored as a whole: AWSCURRENT does not move
	wantLabels(t, server, arn, "?:AWSCURRENT one:AWSPENDING")
	if !describe(t, c, arn).LastChangedDate.Equal(*changed) {
		t.Error("a repeated request changed LastChangedDate")
	}
	awstest.WantError(t, put(t, c, arn, "one", "2", "AWSPENDING"), "ResourceExistsException",
		"You can't use ClientRequestToken "+token("one")+" because that value is already in use for a version of secret "+arn)
}

func TestLabelLimit(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "0")
	var many []string
	for i := range 19 { // with AWSCURRENT it is 20
		many = append(many, "label"+string(rune('a'+i)))
	}
	mustPut(t, c, arn, "one", "1", many...)
	awstest.WantError(t, put(t, c, arn, "two", "2", "more"), "LimitExceededException", "20")
	awstest.WantError(t, put(t, c, arn, "two", "2", many[0]), "", "")
	_, err := c.UpdateSecretVersionStage(t.Context(), &sm.UpdateSecretVersionStageInput{
		SecretId: &arn, VersionStage: aws.String("more"), MoveToVersionId: aws.String(token("one")),
	})
	awstest.WantError(t, err, "LimitExceededException", "20")
}

func TestUpdateSecretVersionStage(t *testing.T) {
	const start = "one:AWSPREVIOUS two:AWSCURRENT three:AWSPENDING+ours"
	one, two, three := token("one"), token("two"), token("three")
	for name, test := range map[string]struct {
		label, to, from string
		code, words     string
		want            string // "" is unchanged
	}{
		"finish a rotation":      {"AWSCURRENT", three, two, "", "", "two:AWSPREVIOUS three:AWSCURRENT+AWSPENDING+ours"},
		"back to the one before": {"AWSCURRENT", one, two, "", "", "one:AWSCURRENT two:AWSPREVIOUS three:AWSPENDING+ours"},
		"new label":              {"new", one, "", "", "", "one:AWSPREVIOUS+new two:AWSCURRENT three:AWSPENDING+ours"},
		"move a label":           {"ours", one, three, "", "", "one:AWSPREVIOUS+ours two:AWSCURRENT three:AWSPENDING"},
		"remove a label":         {"ours", "", three, "", "", "one:AWSPREVIOUS two:AWSCURRENT three:AWSPENDING"},
		"remove AWSPENDING":      {"AWSPENDING", "", three, "", "", "one:AWSPREVIOUS two:AWSCURRENT three:ours"},
		"already there":          {"AWSCURRENT", two, "", "", "", ""},
		"already there, named":   {"AWSCURRENT", two, two, "", "", ""},
		"current holder not named": {"AWSCURRENT", three, "", "InvalidParameterException", "The parameter RemoveFromVersionId can't be " +
			"empty. Staging label AWSCURRENT is currently attached to version " + two +
			", so you must explicitly reference that version in RemoveFromVersionId.", ""},
		"holder of ours not named": {"ours", two, "", "InvalidParameterException", "can't be empty", ""},
		"another holder named": {"AWSCURRENT", three, one, "InvalidParameterException",
			"it must be set to the version that currently has the staging label AWSCURRENT", ""},
		"removed from another":       {"ours", "", one, "InvalidParameterException", "not attached", ""},
		"removed, attached nowhere":  {"new", "", one, "InvalidParameterException", "not attached", ""},
		"moved, attached nowhere":    {"new", two, one, "InvalidParameterException", "not attached", ""},
		"AWSCURRENT removed":         {"AWSCURRENT", "", two, "InvalidParameterException", "You can only move staging label AWSCURRENT", ""},
		"neither":                    {"ours", "", "", "InvalidParameterException", "MoveToVersionId", ""},
		"moved to a missing version": {"ours", token("nine"), three, "ResourceNotFoundException", token("nine"), ""},
		"removed from a missing one": {"ours", "", token("nine"), "ResourceNotFoundException", token("nine"), ""},
		"moved to a malformed id":    {"ours", "nine", three, "InvalidParameterException", "32-64", ""},
		"long label":                 {strings.Repeat("a", 257), one, "", "ValidationException", "versionStage", ""},
		"empty label":                {"", one, "", "ValidationException", "versionStage", ""},
	} {
		t.Run(name, func(t *testing.T) {
			server, c := newServer(t, secretsmanager.Options{})
			arn := server.AddEmptySecret("runner")
			mustPut(t, c, arn, "one", "1")
			mustPut(t, c, arn, "two", "2")
			mustPut(t, c, arn, "three", "3", "AWSPENDING", "ours")
			wantLabels(t, server, arn, start)

			in := &sm.UpdateSecretVersionStageInput{SecretId: &arn, VersionStage: &test.label}
			if test.to != "" {
				in.MoveToVersionId = &test.to
			}
			if test.from != "" {
				in.RemoveFromVersionId = &test.from
			}
			out, err := c.UpdateSecretVersionStage(t.Context(), in)
			awstest.WantError(t, err, test.code, test.words)
			if err == nil && (*out.ARN != arn || *out.Name != "runner") {
				t.Errorf("out = %+v", out)
			}
			if test.want == "" {
				test.want = start
			}
			wantLabels(t, server, arn, test.want)
		})
	}
}

func TestUpdateSecret(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "0")
	update := func(in sm.UpdateSecretInput) error {
		in.SecretId = &arn
		_, err := c.UpdateSecret(t.Context(), &in)
		return err
	}
	awstest.WantError(t, update(sm.UpdateSecretInput{SecretString: aws.String("1"), ClientRequestToken: aws.String(token("one"))}), "", "")
	wantLabels(t, server, arn, "?:AWSPREVIOUS one:AWSCURRENT")
	awstest.WantError(t, update(sm.UpdateSecretInput{SecretString: aws.String("2"), ClientRequestToken: aws.String(token("one"))}),
		"ResourceExistsException", "")
	awstest.WantError(t, update(sm.UpdateSecretInput{SecretString: aws.String("")}), "ValidationException", "")
	awstest.WantError(t, update(sm.UpdateSecretInput{SecretString: aws.String("2"), ClientRequestToken: aws.String("short")}),
		"InvalidParameterException", "")
	awstest.WantError(t, update(sm.UpdateSecretInput{Description: aws.String("text")}), "", "")
	if *describe(t, c, arn).Description != "text" || len(server.Versions(arn)) != 2 {
		t.Error("a new description alone was not stored alone")
	}
}

func TestListSecretVersionIds(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddEmptySecret("runner")
	for _, name := range []string{"one", "two", "three"} {
		mustPut(t, c, arn, name, name)
	}
	list := func(deprecated bool, size int32) (ids []string) {
		pages := sm.NewListSecretVersionIdsPaginator(c,
			&sm.ListSecretVersionIdsInput{SecretId: &arn, IncludeDeprecated: &deprecated, MaxResults: &size})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Versions) > int(size) {
				t.Errorf("a page of %d", len(page.Versions))
			}
			for _, v := range page.Versions {
				ids = append(ids, *v.VersionId)
			}
		}
		return ids
	}
	if got := list(false, 1); !slices.Equal(got, []string{token("two"), token("three")}) {
		t.Errorf("with labels: %v", got)
	}
	if got := list(true, 2); !slices.Equal(got, []string{token("one"), token("two"), token("three")}) {
		t.Errorf("all: %v", got)
	}
	_, err := c.ListSecretVersionIds(t.Context(), &sm.ListSecretVersionIdsInput{SecretId: &arn, MaxResults: aws.Int32(101)})
	awstest.WantError(t, err, "ValidationException", "maxResults")
	_, err = c.ListSecretVersionIds(t.Context(), &sm.ListSecretVersionIdsInput{SecretId: &arn, NextToken: aws.String("x")})
	awstest.WantError(t, err, "InvalidNextTokenException", "")
}

func TestHelpers(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "0")
	id := server.Put(arn, "1")
	wantLabels(t, server, arn, "?:AWSPREVIOUS ?:AWSCURRENT")
	for _, test := range []struct{ stage, id, want string }{{"", "", "1"}, {"AWSPREVIOUS", "", "0"}, {"", id, "1"}} {
		if got, err := server.Value(arn, test.stage, test.id); err != nil || got != test.want {
			t.Errorf("Value(%q, %q) = %q, %v", test.stage, test.id, got, err)
		}
	}
	if _, err := server.Value(arn, "AWSPENDING", ""); err == nil {
		t.Error("a value without a version")
	}
	if _, err := server.Value("absent", "", ""); err == nil {
		t.Error("a value without a secret")
	}
	for name, misuse := range map[string]func(){
		"unknown secret": func() { server.Put("absent", "1") },
		"empty value":    func() { server.AddSecret("other", "") },
		"same name":      func() { server.AddSecret("runner", "1") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
	// No value gets into the record of the calls.
	mustPut(t, c, arn, "two", "hidden-value")
	for _, call := range server.Calls() {
		if strings.Contains(call.Resource+call.Operation, "hidden-value") {
			t.Errorf("call %+v", call)
		}
	}
	if last := server.Calls()[0]; last.Operation != "PutSecretValue" || last.Resource != arn {
		t.Errorf("call %+v", last)
	}
}
