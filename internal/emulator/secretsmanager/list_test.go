package secretsmanager_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

func list(t *testing.T, c *sm.Client, in sm.ListSecretsInput) []types.SecretListEntry {
	t.Helper()
	out, err := c.ListSecrets(t.Context(), &in)
	awstest.WantError(t, err, "", "")
	if out.NextToken != nil {
		t.Errorf("more than one page")
	}
	return out.SecretList
}

func names(all []types.SecretListEntry) string {
	var list []string
	for _, s := range all {
		list = append(list, *s.Name)
	}
	return strings.Join(list, " ")
}

// wantSameDescription checks that ListSecrets and DescribeSecret show the same of every secret.
func wantSameDescription(t *testing.T, c *sm.Client, listed types.SecretListEntry) {
	t.Helper()
	d := describe(t, c, *listed.ARN)
	if !reflect.DeepEqual(listed, types.SecretListEntry{
		ARN: d.ARN, Name: d.Name, Description: d.Description, KmsKeyId: d.KmsKeyId,
		RotationEnabled: d.RotationEnabled, RotationLambdaARN: d.RotationLambdaARN, RotationRules: d.RotationRules,
		LastRotatedDate: d.LastRotatedDate, NextRotationDate: d.NextRotationDate, LastChangedDate: d.LastChangedDate, CreatedDate: d.CreatedDate,
		SecretVersionsToStages: d.VersionIdsToStages,
	}) {
		t.Errorf("listed as %+v\ndescribed as %+v", listed, d)
	}
}

func TestListSecrets(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		server.SetSchedule(arn, "rate(10 days)", "3h")
		server.SetKMSKey(arn, "alias/ours")
		empty := server.AddEmptySecret("empty")
		start := time.Now()

		time.Sleep(time.Minute)
		server.Rotate(arn)
		wait(t, server, arn, secretsmanager.RotationSucceeded)
		all := list(t, f.client, sm.ListSecretsInput{})
		if names(all) != "runner empty" {
			t.Fatalf("listed %s", names(all))
		}
		for _, s := range all {
			wantSameDescription(t, f.client, s)
			if *s.ARN == empty {
				if s.RotationEnabled != nil || s.RotationRules != nil || s.KmsKeyId != nil || s.LastRotatedDate != nil || s.NextRotationDate != nil ||
					len(s.SecretVersionsToStages) != 0 || !s.CreatedDate.Equal(start) {
					t.Errorf("empty: %+v", s)
				}
				continue
			}
			if !*s.RotationEnabled || *s.RotationLambdaARN != functionARN || *s.RotationRules.ScheduleExpression != "rate(10 days)" ||
				*s.RotationRules.Duration != "3h" || *s.KmsKeyId != "alias/ours" {
				t.Errorf("runner: %+v", s)
			}
			if rotated := start.Add(time.Minute); !s.LastRotatedDate.Equal(rotated) || !s.LastChangedDate.Equal(rotated) ||
				len(s.SecretVersionsToStages) != 2 {
				t.Errorf("runner: %+v", s)
			}
			if want := start.UTC().Truncate(24*time.Hour).AddDate(0, 0, 10).Add(3*time.Hour - time.Second); !s.NextRotationDate.Equal(want) {
				t.Errorf("next rotation %v, want %v", s.NextRotationDate, want)
			}
		}
	})
}

func TestNextRotationDate(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		start := time.Now().UTC().Truncate(24 * time.Hour)
		check := func(what string, wantDay int) {
			t.Helper()
			got := describe(t, f.client, arn).NextRotationDate
			if wantDay < 0 {
				if got != nil {
					t.Errorf("%s: %v", what, got)
				}
				return
			}
			if want := start.AddDate(0, 0, wantDay+1).Add(-time.Second); got == nil || !got.Equal(want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		check("no rules", -1)
		if err := rotate(t, f.client,
			sm.RotateSecretInput{SecretId: &arn, RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(10)}}); err != nil {
			t.Fatal(err)
		}
		wait(t, server, arn, secretsmanager.RotationSucceeded)
		check("after a rotation", 10)
		time.Sleep(2 * 24 * time.Hour)
		check("while nothing happens", 10)
		server.Put(arn, "by hand")
		check("after a value by hand", 12)
		time.Sleep(20 * 24 * time.Hour)
		check("overdue", 12)
		server.SetSchedule(arn, "rate(5 days)", "")
		check("with a new schedule", 27)
		time.Sleep(24 * time.Hour)
		server.Put(arn, "by hand")
		check("after another value by hand", 27) // counts for an interval in days only
		if _, err := f.client.CancelRotateSecret(t.Context(), &sm.CancelRotateSecretInput{SecretId: &arn}); err != nil {
			t.Fatal(err)
		}
		check("switched off", -1)
		time.Sleep(24 * time.Hour)
		f.do = map[string]func(context.Context, event) error{"createSecret": func(context.Context, event) error { return fmt.Errorf("broken") }}
		if err := rotate(t, f.client, sm.RotateSecretInput{SecretId: &arn}); err != nil {
			t.Fatal(err)
		}
		wait(t, server, arn, secretsmanager.RotationFailed)
		check("switched on again", 29)
	})
}

func TestListSecretsPages(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	var want []string
	for i := range 101 {
		want = append(want, fmt.Sprintf("s%03d", i))
		server.AddSecret(want[i], "value")
	}
	pages := func(size *int32) (sizes []int, found []string) {
		p := sm.NewListSecretsPaginator(c, &sm.ListSecretsInput{MaxResults: size, SortBy: types.SortByTypeName})
		for p.HasMorePages() {
			page, err := p.NextPage(t.Context())
			awstest.WantError(t, err, "", "")
			sizes = append(sizes, len(page.SecretList))
			for _, s := range page.SecretList {
				found = append(found, *s.Name)
			}
		}
		return sizes, found
	}
	if sizes, found := pages(nil); !slices.Equal(sizes, []int{100, 1}) || !slices.Equal(found, want) {
		t.Errorf("pages of %v: %v", sizes, found)
	}
	if sizes, found := pages(aws.Int32(50)); !slices.Equal(sizes, []int{50, 50, 1}) || !slices.Equal(found, want) {
		t.Errorf("pages of %v: %v", sizes, found)
	}
	if out := list(t, c, sm.ListSecretsInput{NextToken: aws.String("200")}); len(out) != 0 {
		t.Errorf("listed %s", names(out))
	}
}

func TestListSecretsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, c := newServer(t, secretsmanager.Options{})
		arn := server.AddSecret("b", "value")
		time.Sleep(time.Second)
		server.AddSecret("c", "value")
		server.AddSecret("a", "value")
		time.Sleep(time.Second)
		server.Put(arn, "new")
		for _, test := range []struct {
			by    types.SortByType
			order types.SortOrderType
			want  string
		}{
			{"", "", "b a c"},
			{"", "desc", "c a b"},
			{"created-date", "asc", "b a c"},
			{"last-changed-date", "asc", "a c b"},
			{"last-changed-date", "desc", "b c a"},
			{"name", "", "a b c"},
			{"name", "desc", "c b a"},
			{"last-accessed-date", "", "a b c"},
		} {
			if got := names(list(t, c, sm.ListSecretsInput{SortBy: test.by, SortOrder: test.order})); got != test.want {
				t.Errorf("%s %s: %s, want %s", test.by, test.order, got, test.want)
			}
		}
	})
}

func TestListSecretsFilters(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	server.AddSecret("app/runner", "value")
	server.AddSecret("app/api", "value")
	server.AddSecret("App/other", "value")
	_, err := c.CreateSecret(t.Context(),
		&sm.CreateSecretInput{Name: aws.String("plain"), Description: aws.String("Credentials of the runner")})
	awstest.WantError(t, err, "", "")
	one := func(key string, values ...string) []types.Filter {
		return []types.Filter{{Key: types.FilterNameStringType(key), Values: values}}
	}
	for _, test := range []struct {
		filters []types.Filter
		want    string
	}{
		{nil, "App/other app/api app/runner plain"},
		{one("name", "app/"), "app/api app/runner"},
		{one("name", "app/runner"), "app/runner"},
		{one("name", "app/runner2"), ""},
		{one("name", "runner"), ""}, // only from the start
		{one("name", "plain", "App"), "App/other plain"},
		{one("name", "!app/"), "App/other plain"},
		{one("name", "!app/", "!App"), "plain"},
		{one("name", "app/", "!app/a"), "app/runner"},
		{one("name", "!"), ""},
		{one("name", ""), "App/other app/api app/runner plain"},
		{one("description", "credentials"), "plain"},
		{one("description", "runner"), ""},
		{one("all", "Runner"), "app/runner plain"},
		{one("all", "run"), ""},
		{one("all", "my_API"), "app/api"},
		{one("tag-key", "x"), ""},
		{one("tag-value", "!x"), "App/other app/api app/runner plain"},
		{one("primary-region", "eu"), ""},
		{one("owning-service", "x"), ""},
		{slices.Concat(one("name", "app/", "plain"), one("all", "runner"), one("description", "!c")), "app/runner"},
	} {
		if got := names(list(t, c,
			sm.ListSecretsInput{Filters: test.filters, SortBy: "name", IncludePlannedDeletion: aws.Bool(true)})); got != test.want {
			t.Errorf("%v: %q, want %q", test.filters, got, test.want)
		}
	}
	for name, test := range map[string]struct {
		in          sm.ListSecretsInput
		code, words string
	}{
		"ten values": {sm.ListSecretsInput{Filters: one("name", slices.Repeat([]string{"a"}, 10)...)}, "", ""},
		"eleven values": {sm.ListSecretsInput{Filters: one("name", slices.Repeat([]string{"a"}, 11)...)}, "ValidationException",
			"filters.1.member.values"},
		"no values":      {sm.ListSecretsInput{Filters: one("name")}, "ValidationException", "filters.1.member.values"},
		"characters":     {sm.ListSecretsInput{Filters: one("name", "a*")}, "ValidationException", "filters.1.member.values"},
		"512 characters": {sm.ListSecretsInput{Filters: one("name", strings.Repeat("a", 512))}, "", ""},
		"513 characters": {sm.ListSecretsInput{Filters: one("name", strings.Repeat("a", 513))}, "ValidationException",
			"filters.1.member.values"},
		"513 with the mark": {sm.ListSecretsInput{Filters: one("name", "!"+strings.Repeat("a", 512))}, "ValidationException",
			"filters.1.member.values"},
		"key": {sm.ListSecretsInput{Filters: slices.Concat(one("name", "a"), one("Name", "a"))}, "ValidationException",
			"filters.2.member.key"},
		"no key":         {sm.ListSecretsInput{Filters: []types.Filter{{Values: []string{"a"}}}}, "InvalidParameterException", "key"},
		"ten filters":    {sm.ListSecretsInput{Filters: slices.Repeat(one("name", "a"), 10)}, "", ""},
		"eleven filters": {sm.ListSecretsInput{Filters: slices.Repeat(one("name", "a"), 11)}, "ValidationException", "filters"},
		"no results":     {sm.ListSecretsInput{MaxResults: aws.Int32(0)}, "ValidationException", "maxResults"},
		"101 results":    {sm.ListSecretsInput{MaxResults: aws.Int32(101)}, "ValidationException", "maxResults"},
		"token":          {sm.ListSecretsInput{NextToken: aws.String("x")}, "InvalidNextTokenException", ""},
		"order":          {sm.ListSecretsInput{SortOrder: "up"}, "ValidationException", "sortOrder"},
		"sort":           {sm.ListSecretsInput{SortBy: "arn"}, "ValidationException", "sortBy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListSecrets(t.Context(), &test.in)
			awstest.WantError(t, err, test.code, test.words)
		})
	}
}

// Neither operation shows a value, or has a member that AWS does not have.
func TestNoValueIsListed(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "hidden-value")
	server.AddBinarySecret("binary", []byte("hidden-value"))
	server.SetKMSKey(arn, "key")
	server.EnableRotation(arn, functionARN)
	server.SetSchedule(arn, "rate(1 day)", "")
	var answers []string
	options := func(o *sm.Options) {
		o.HTTPClient = &http.Client{Transport: spy{wire.Transport(server), &answers}}
	}
	_, err := c.ListSecrets(t.Context(), &sm.ListSecretsInput{}, options)
	awstest.WantError(t, err, "", "")
	_, err = c.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: &arn}, options)
	awstest.WantError(t, err, "", "")
	for i, answer := range answers {
		if strings.Contains(answer, "hidden-value") || strings.Contains(answer, "aGlkZGVu") {
			t.Errorf("answer %s", answer)
		}
		var into any = &struct{ SecretList []strictEntry }{}
		if i == 1 {
			into = &strictDescription{}
		}
		d := json.NewDecoder(strings.NewReader(answer))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("answer %s: %v", answer, err)
		}
	}
	if len(answers) != 2 {
		t.Errorf("%d answers", len(answers))
	}
}

// The strict types have the members of the API's model that the emulator may answer, with their types on the wire.
type strictMetadata struct {
	ARN, Name, Description, KmsKeyId, RotationLambdaARN                               string
	RotationEnabled                                                                   bool
	RotationRules                                                                     struct{ ScheduleExpression, Duration string }
	CreatedDate, LastChangedDate, LastRotatedDate, NextRotationDate, LastAccessedDate float64
}

type strictEntry struct {
	strictMetadata
	SecretVersionsToStages map[string][]string
}

type strictDescription struct {
	strictMetadata
	VersionIdsToStages map[string][]string
}

// spy keeps the bodies of answers.
type spy struct {
	http.RoundTripper
	answers *[]string
}

func (s spy) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := s.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(out.Body)
	*s.answers = append(*s.answers, string(body))
	out.Body = io.NopCloser(strings.NewReader(string(body)))
	return out, err
}

func TestKMSKey(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	out, err := c.CreateSecret(t.Context(),
		&sm.CreateSecretInput{Name: aws.String("runner"), SecretString: aws.String("value"), KmsKeyId: aws.String("one")})
	awstest.WantError(t, err, "", "")
	key := func() string { return aws.ToString(describe(t, c, *out.ARN).KmsKeyId) }
	if key() != "one" {
		t.Errorf("created with key %q", key())
	}
	_, err = c.UpdateSecret(t.Context(), &sm.UpdateSecretInput{SecretId: out.ARN, Description: aws.String("text")})
	awstest.WantError(t, err, "", "")
	if key() != "one" {
		t.Errorf("another update left the key %q", key())
	}
	_, err = c.UpdateSecret(t.Context(), &sm.UpdateSecretInput{SecretId: out.ARN, KmsKeyId: aws.String("two")})
	awstest.WantError(t, err, "", "")
	if key() != "two" || len(server.Versions(*out.ARN)) != 1 {
		t.Errorf("updated to key %q, %d versions", key(), len(server.Versions(*out.ARN)))
	}
	server.SetKMSKey(*out.ARN, "")
	if describe(t, c, *out.ARN).KmsKeyId != nil {
		t.Errorf("the key of AWS is %q", key())
	}
}

func TestGetResourcePolicy(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "value")
	get := func(id string) (*sm.GetResourcePolicyOutput, error) {
		return c.GetResourcePolicy(t.Context(), &sm.GetResourcePolicyInput{SecretId: &id})
	}
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","NotPrincipal":"*","NotAction":"*","Resource":"*"}]}`
	for _, want := range []string{"", policy, ""} {
		server.SetResourcePolicy(arn, want)
		for _, id := range []string{arn, "runner"} {
			out, err := get(id)
			awstest.WantError(t, err, "", "")
			if *out.ARN != arn || *out.Name != "runner" || (out.ResourcePolicy == nil) != (want == "") || aws.ToString(out.ResourcePolicy) != want {
				t.Errorf("out = %+v, want %q", out, want)
			}
		}
	}
	_, err := get("absent")
	awstest.WantError(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// The new operations can be denied for all calls, one by one.
func TestDenied(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "value")
	list := func() error { _, err := c.ListSecrets(t.Context(), &sm.ListSecretsInput{}); return err }
	policy := func() error {
		_, err := c.GetResourcePolicy(t.Context(), &sm.GetResourcePolicyInput{SecretId: &arn})
		return err
	}
	allow := server.Inject(awsjson.Fault{Operation: "ListSecrets", Kind: awsjson.AccessDenied})
	for range 3 {
		awstest.WantError(t, list(), "AccessDeniedException", "not authorized to perform: secretsmanager:ListSecrets")
		awstest.WantError(t, policy(), "", "")
	}
	allow()
	awstest.WantError(t, list(), "", "")
}

func TestNewHelpersRefuse(t *testing.T) {
	server, _ := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "value")
	for name, misuse := range map[string]func(){
		"schedule":               func() { server.SetSchedule(arn, "rate(1 hour)", "") },
		"no schedule":            func() { server.SetSchedule(arn, "", "3h") },
		"schedule of no secret":  func() { server.SetSchedule("absent", "rate(1 day)", "") },
		"key of no secret":       func() { server.SetKMSKey("absent", "") },
		"policy of no secret":    func() { server.SetResourcePolicy("absent", "") },
		"policy that is no JSON": func() { server.SetResourcePolicy(arn, "{") },
		"policy without content": func() { server.SetResourcePolicy(arn, "{}") },
		"large policy": func() {
			server.SetResourcePolicy(arn, `{"Statement":[],"Id":"`+strings.Repeat("a", 20480)+`"}`)
		},
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
}
