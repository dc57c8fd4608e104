package iam_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/iam"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	roleARN = "arn:aws:iam::123456789012:role/service-role/rotate"
	secret  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf"
	other   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCdEf"
	api     = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:api-AbCdEf"
)

// newServer returns a server with the role "rotate", and an SDK client of it.
func newServer(t *testing.T, options iam.Options) (*iam.Server, *sdk.Client) {
	t.Helper()
	server := iam.New(options)
	if arn := server.AddRole("service-role/rotate",
		`{"Version": "2012-10-17", "Statement": [
			{"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], "Resource": ["`+secret+`", "`+api+`"]},
			{"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*", "Condition": {"StringLike": {"kms:EncryptionContext:SecretARN": "`+secret+
			`"}}}
		]}`,
		`{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "secretsmanager:Put*", "Resource": "`+api+`"}}`,
		`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecs:ListServices", "Resource": "*"}}`,
	); arn != roleARN {
		t.Fatalf("added as %s", arn)
	}
	return server, sdk.NewFromConfig(awstest.Config("eu-west-1", server))
}

func input(actions []string, resources ...string) *sdk.SimulatePrincipalPolicyInput {
	return &sdk.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(roleARN), ActionNames: actions, ResourceArns: resources}
}

func simulate(t *testing.T, c *sdk.Client, in *sdk.SimulatePrincipalPolicyInput) *sdk.SimulatePrincipalPolicyOutput {
	t.Helper()
	out, err := c.SimulatePrincipalPolicy(t.Context(), in)
	awstest.WantStatus(t, err, 0, "", "")
	return out
}

// short writes results as "action resource decision [policies] [missing keys]", with the resources' own below.
func short(results []types.EvaluationResult) string {
	var lines []string
	line := func(action, resource string, decision types.PolicyEvaluationDecisionType, statements []types.Statement, missing []string) {
		var policies []string
		for _, s := range statements {
			policies = append(policies, *s.SourcePolicyId)
		}
		resource = strings.TrimPrefix(resource, "arn:aws:secretsmanager:eu-west-1:123456789012:secret:")
		lines = append(lines, fmt.Sprintf("%s %s %s %v %v", action, resource, decision, policies, missing))
	}
	for _, r := range results {
		line(*r.EvalActionName, *r.EvalResourceName, r.EvalDecision, r.MatchedStatements, r.MissingContextValues)
		for _, one := range r.ResourceSpecificResults {
			line("-", *one.EvalResourceName, one.EvalResourceDecision, one.MatchedStatements, one.MissingContextValues)
		}
	}
	return strings.Join(lines, "\n")
}

func wantResults(t *testing.T, got []types.EvaluationResult, want string) {
	t.Helper()
	if got := short(got); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSimulate(t *testing.T) {
	_, c := newServer(t, iam.Options{})
	out := simulate(t, c, input([]string{"secretsmanager:GetSecretValue", "secretsmanager:putsecretvalue"}, secret, other, api))
	wantResults(t, out.EvaluationResults, `secretsmanager:GetSecretValue runner-AbCdEf allowed [policy-1] []
secretsmanager:GetSecretValue other-AbCdEf implicitDeny [] []
secretsmanager:GetSecretValue api-AbCdEf allowed [policy-1] []
secretsmanager:putsecretvalue runner-AbCdEf allowed [policy-1] []
secretsmanager:putsecretvalue other-AbCdEf implicitDeny [] []
secretsmanager:putsecretvalue api-AbCdEf explicitDeny [policy-2] []`)
	if out.IsTruncated || out.Marker != nil {
		t.Errorf("out = %+v", out)
	}
	// Without resources it is all of them.
	for _, resources := range [][]string{nil, {}, {"*"}} {
		out = simulate(t, c, input([]string{"ecs:ListServices", "secretsmanager:GetSecretValue"}, resources...))
		wantResults(t, out.EvaluationResults, "ecs:ListServices * allowed [policy-3] []\nsecretsmanager:GetSecretValue * implicitDeny [] []")
	}
}

func TestSimulateByAction(t *testing.T) {
	_, c := newServer(t, iam.Options{ResultsByAction: true})
	out := simulate(t, c,
		input([]string{"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "ecs:ListServices"}, secret, other, api))
	wantResults(t, out.EvaluationResults,
		`secretsmanager:GetSecretValue arn:${Partition}:secretsmanager:${Region}:${Account}:secret:${SecretId} implicitDeny [] []
- runner-AbCdEf allowed [policy-1] []
- other-AbCdEf implicitDeny [] []
- api-AbCdEf allowed [policy-1] []
secretsmanager:PutSecretValue arn:${Partition}:secretsmanager:${Region}:${Account}:secret:${SecretId} explicitDeny [policy-2] []
- runner-AbCdEf allowed [policy-1] []
- other-AbCdEf implicitDeny [] []
- api-AbCdEf explicitDeny [policy-2] []
ecs:ListServices * allowed [policy-3] []
- runner-AbCdEf allowed [policy-3] []
- other-AbCdEf allowed [policy-3] []
- api-AbCdEf allowed [policy-3] []`)
	out = simulate(t, c, input([]string{"ecs:ListServices"}))
	wantResults(t, out.EvaluationResults, "ecs:ListServices * allowed [policy-3] []")
	out = simulate(t, c, input([]string{"kms:Decrypt"}, secret, api))
	wantResults(t, out.EvaluationResults,
		`kms:Decrypt arn:${Partition}:kms:${Region}:${Account}:key/${KeyId} implicitDeny [] [kms:EncryptionContext:SecretARN]
- runner-AbCdEf implicitDeny [] [kms:EncryptionContext:SecretARN]
- api-AbCdEf implicitDeny [] [kms:EncryptionContext:SecretARN]`)
}

func entry(name, value string) types.ContextEntry {
	return types.ContextEntry{ContextKeyName: &name, ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{value}}
}

func TestContext(t *testing.T) {
	_, c := newServer(t, iam.Options{})
	const key = "kms:EncryptionContext:SecretARN"
	for _, test := range []struct {
		entries []types.ContextEntry
		want    string
	}{
		{nil, "kms:Decrypt * implicitDeny [] [" + key + "]"},
		{[]types.ContextEntry{entry("aws:SourceIp", "x")}, "kms:Decrypt * implicitDeny [] [" + key + "]"},
		{[]types.ContextEntry{entry("aws:SourceIp", "x"), entry(key, secret)}, "kms:Decrypt * allowed [policy-1] []"},
		{[]types.ContextEntry{entry(strings.ToLower(key), secret)}, "kms:Decrypt * allowed [policy-1] []"},
		{[]types.ContextEntry{entry(key, api)}, "kms:Decrypt * implicitDeny [] []"},
	} {
		in := input([]string{"kms:Decrypt"})
		in.ContextEntries = test.entries
		wantResults(t, simulate(t, c, in).EvaluationResults, test.want)
	}
}

func TestPaging(t *testing.T) {
	server, c := newServer(t, iam.Options{})
	var actions []string
	for i := range 26 {
		actions = append(actions, "s3:Get"+string(rune('A'+i)))
	}
	var resources []string
	for i := range 5 {
		resources = append(resources, fmt.Sprintf("arn:aws:s3:::%d", i))
	}
	list := func(items *int32) (sizes []int, names []string) {
		in := input(actions, resources...)
		in.MaxItems = items
		pages := sdk.NewSimulatePrincipalPolicyPaginator(c, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			awstest.WantStatus(t, err, 0, "", "")
			sizes = append(sizes, len(page.EvaluationResults))
			for _, r := range page.EvaluationResults {
				names = append(names, *r.EvalActionName+*r.EvalResourceName)
			}
		}
		return sizes, names
	}
	sizes, all := list(nil)
	if !slices.Equal(sizes, []int{100, 30}) {
		t.Errorf("pages of %v", sizes)
	}
	if slices.Sort(all); len(slices.Compact(all)) != 130 {
		t.Errorf("%d different results", len(slices.Compact(all)))
	}
	if sizes, _ = list(aws.Int32(65)); !slices.Equal(sizes, []int{65, 65}) {
		t.Errorf("pages of %v", sizes)
	}
	if n := len(server.Calls()); n != 4 {
		t.Errorf("%d calls", n)
	}
}

func TestInput(t *testing.T) {
	type in = sdk.SimulatePrincipalPolicyInput
	for name, test := range map[string]struct {
		edit        func(*in)
		status      int
		code, words string
	}{
		"good": {func(*in) {}, 0, "", ""},
		"unknown role": {func(i *in) { i.PolicySourceArn = aws.String("arn:aws:iam::123456789012:role/other") }, 404, "NoSuchEntity",
			"The role with name other cannot be found."},
		"without path": {func(i *in) { i.PolicySourceArn = aws.String("arn:aws:iam::123456789012:role/rotate") }, 404, "NoSuchEntity",
			"The role with name rotate cannot be found."},
		"user": {func(i *in) { i.PolicySourceArn = aws.String("arn:aws:iam::123456789012:user/x/rotate") }, 404, "NoSuchEntity",
			"The user with name rotate"},
		"session": {func(i *in) { i.PolicySourceArn = aws.String("arn:aws:sts::123456789012:assumed-role/rotate/x") }, 400, "InvalidInput",
			"does not clearly define entity type and name"},
		"name of a role": {func(i *in) { i.PolicySourceArn = aws.String("service-role/rotate-very-long") }, 400, "InvalidInput",
			"does not clearly define"},
		"short source": {func(i *in) { i.PolicySourceArn = aws.String("rotate") }, 400, "ValidationError", "policySourceArn"},

		"no actions":   {func(i *in) { i.ActionNames = []string{} }, 400, "ValidationError", "actionNames"},
		"short action": {func(i *in) { i.ActionNames = []string{"a"} }, 400, "ValidationError", "ActionNames.member.1"},
		"long action": {func(i *in) { i.ActionNames = []string{"a:" + strings.Repeat("a", 127)} }, 400, "ValidationError",
			"ActionNames.member.1"},
		"action alone": {func(i *in) { i.ActionNames = []string{"s3:Get", "GetSecretValue"} }, 400, "InvalidInput",
			"Invalid Action: GetSecretValue"},
		"action and star":   {func(i *in) { i.ActionNames = []string{"s3:*"} }, 400, "InvalidInput", "s3:*"},
		"resource's name":   {func(i *in) { i.ResourceArns = []string{"runner"} }, 400, "InvalidInput", "runner"},
		"resource cut off":  {func(i *in) { i.ResourceArns = []string{"arn:aws:s3"} }, 400, "InvalidInput", "arn:aws:s3"},
		"empty resource":    {func(i *in) { i.ResourceArns = []string{""} }, 400, "ValidationError", "ResourceArns.member.1"},
		"no items":          {func(i *in) { i.MaxItems = aws.Int32(0) }, 400, "ValidationError", "MaxItems"},
		"many items":        {func(i *in) { i.MaxItems = aws.Int32(1001) }, 400, "ValidationError", "MaxItems"},
		"marker":            {func(i *in) { i.Marker = aws.String("x") }, 400, "InvalidInput", "Marker"},
		"marker at the end": {func(i *in) { i.Marker = aws.String("9") }, 0, "", ""},

		"key without a name": {func(i *in) { i.ContextEntries = []types.ContextEntry{entry("", "x")} }, 400, "ValidationError", "contextKeyName"},
		"key without a type": {func(i *in) {
			i.ContextEntries = []types.ContextEntry{{ContextKeyName: aws.String("aws:x"), ContextKeyValues: []string{"x"}}}
		}, 400, "ValidationError", "contextKeyType"},
		"key of another type": {func(i *in) {
			e := entry("aws:x", "x")
			e.ContextKeyType = "String"
			i.ContextEntries = []types.ContextEntry{e}
		}, 400, "ValidationError", "contextKeyType"},
		"key without values": {func(i *in) {
			e := entry("aws:x", "x")
			e.ContextKeyValues = nil
			i.ContextEntries = []types.ContextEntry{e}
		}, 400, "InvalidInput", "one value"},
		"key with two values": {func(i *in) {
			e := entry("aws:x", "x")
			e.ContextKeyValues = []string{"x", "y"}
			i.ContextEntries = []types.ContextEntry{e}
		}, 400, "InvalidInput", "one value"},
		"list of one": {func(i *in) {
			e := entry("aws:x", "x")
			e.ContextKeyType = "stringList"
			i.ContextEntries = []types.ContextEntry{e}
		}, 0, "", ""},
		"empty value": {func(i *in) { i.ContextEntries = []types.ContextEntry{entry("aws:x", "")} }, 0, "", ""},
		"key twice": {func(i *in) { i.ContextEntries = []types.ContextEntry{entry("aws:x", "x"), entry("AWS:x", "x")} }, 400,
			"InvalidInput", "twice"},
		"what is not emulated":  {func(i *in) { i.CallerArn = aws.String(roleARN) }, 400, "ValidationError", "CallerArn"},
		"another not emulated":  {func(i *in) { i.PolicyInputList = []string{`{}`} }, 400, "ValidationError", "PolicyInputList"},
		"more than one element": {func(i *in) { i.ResourceArns = []string{secret, "*"} }, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := newServer(t, iam.Options{})
			i := input([]string{"secretsmanager:GetSecretValue"}, secret)
			test.edit(i)
			_, err := c.SimulatePrincipalPolicy(t.Context(), i)
			awstest.WantStatus(t, err, test.status, test.code, test.words)
		})
	}
}

func TestErrorIsTyped(t *testing.T) {
	server, c := newServer(t, iam.Options{})
	in := input([]string{"s3:Get"})
	in.PolicySourceArn = aws.String("arn:aws:iam::123456789012:role/other")
	_, err := c.SimulatePrincipalPolicy(t.Context(), in)
	var missing *types.NoSuchEntityException
	var response *awshttp.ResponseError
	if !errors.As(err, &missing) || !errors.As(err, &response) || response.ServiceRequestID() != server.Calls()[0].RequestID {
		t.Errorf("err = %v", err)
	}
}

func TestDeny(t *testing.T) {
	server, c := newServer(t, iam.Options{})
	allow := server.Deny("SimulatePrincipalPolicy")
	for range 2 {
		_, err := c.SimulatePrincipalPolicy(t.Context(), input([]string{"s3:Get"}))
		awstest.WantStatus(t, err, 403, "AccessDenied", "not authorized to perform: iam:SimulatePrincipalPolicy on resource: "+roleARN)
	}
	allow()
	simulate(t, c, input([]string{"s3:Get"}))
}

// An SDK that is given an endpoint signs for its own region, else for that of the global service.
func TestRegion(t *testing.T) {
	for _, test := range []struct {
		options iam.Options
		region  string
		status  int
	}{
		{iam.Options{}, "us-east-1", 0},
		{iam.Options{}, "eu-west-1", 0},
		{iam.Options{}, "us-west-2", 403},
		{iam.Options{Region: "us-west-2"}, "us-west-2", 0},
		{iam.Options{Region: "us-west-2"}, "eu-west-1", 403},
	} {
		server, _ := newServer(t, test.options)
		c := sdk.NewFromConfig(awstest.Config(test.region, server))
		_, err := c.SimulatePrincipalPolicy(t.Context(), input([]string{"s3:Get"}))
		awstest.WantStatus(t, err, test.status, "SignatureDoesNotMatch", "scoped")
	}
	// The SDK signs for this region if it is given no endpoint.
	server := iam.New(iam.Options{Account: "210987654321"})
	arn := server.AddRole("x")
	c := sdk.NewFromConfig(aws.Config{
		Region: "ap-south-1", Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient: &http.Client{Transport: wire.Transport(server)},
	})
	out, err := c.SimulatePrincipalPolicy(t.Context(),
		&sdk.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: []string{"s3:Get"}})
	awstest.WantStatus(t, err, 0, "", "")
	if arn != "arn:aws:iam::210987654321:role/x" || short(out.EvaluationResults) != "s3:Get * implicitDeny [] []" {
		t.Errorf("%s: %s", arn, short(out.EvaluationResults))
	}
}

func TestMisuse(t *testing.T) {
	for name, misuse := range map[string]func(*iam.Server){
		"unknown operation": func(s *iam.Server) { s.Deny("GetRole") },
		"name":              func(s *iam.Server) { s.AddRole("a b") },
		"no name":           func(s *iam.Server) { s.AddRole("service-role/") },
		"role that exists":  func(s *iam.Server) { s.AddRole("service-role/rotate") },
		"no policy":         func(s *iam.Server) { s.AddRole("x", `{}`) },
		"policy of a resource": func(s *iam.Server) {
			s.AddRole("x", `{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}`)
		},
	} {
		server, _ := newServer(t, iam.Options{})
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse(server)
		}()
	}
}

// request returns a request that is good but for what edit does to it.
func request(edit func(*http.Request)) *http.Request {
	now := time.Now().UTC()
	r := httptest.NewRequest(http.MethodPost, "http://iam.test/", strings.NewReader(good().Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/"+now.Format("20060102")+
		"/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature="+strings.Repeat("0", 64))
	if edit != nil {
		edit(r)
	}
	return r
}

func good() url.Values {
	return url.Values{
		"Action": {"SimulatePrincipalPolicy"}, "Version": {"2010-05-08"},
		"PolicySourceArn": {roleARN}, "ActionNames.member.1": {"s3:Get"},
	}
}

func TestProtocol(t *testing.T) {
	body := func(edit func(url.Values)) func(*http.Request) {
		v := good()
		edit(v)
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(v.Encode())) }
	}
	authorization := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), old, new))
		}
	}
	for name, test := range map[string]struct {
		edit   func(*http.Request)
		status int
		code   string // "" is success
	}{
		"good": {nil, 200, ""},

		"method":       {func(r *http.Request) { r.Method = http.MethodGet }, 404, "InvalidAction"},
		"path":         {func(r *http.Request) { r.URL.Path = "/x" }, 404, "InvalidAction"},
		"content type": {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 404, "InvalidAction"},
		"no action":    {body(func(v url.Values) { v.Del("Action") }), 400, "MissingAction"},
		"other action": {body(func(v url.Values) { v.Set("Action", "GetRole") }), 400, "InvalidAction"},
		"no version":   {body(func(v url.Values) { v.Del("Version") }), 400, "InvalidAction"},
		"version":      {body(func(v url.Values) { v.Set("Version", "2011-06-15") }), 400, "InvalidAction"},
		"no form":      {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("%zz")) }, 400, "MalformedQueryString"},
		"too large": {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("a", 1<<20+1))) }, 413,
			"RequestEntityTooLarge"},
		"unreadable": {func(r *http.Request) { r.Body = io.NopCloser(errorReader{}) }, 400, "MalformedQueryString"},

		"unknown parameter": {body(func(v url.Values) { v.Set("ActionName", "x") }), 400, "ValidationError"},
		"parameter twice":   {body(func(v url.Values) { v.Add("PolicySourceArn", roleARN) }), 400, "ValidationError"},
		"gap in a list":     {body(func(v url.Values) { v.Set("ActionNames.member.3", "s3:Put") }), 400, "ValidationError"},
		"list from 0":       {body(func(v url.Values) { v.Set("ActionNames.member.0", "s3:Put") }), 400, "ValidationError"},
		"list as text":      {body(func(v url.Values) { v.Set("ActionNames", "s3:Put") }), 400, "ValidationError"},
		"huge number":       {body(func(v url.Values) { v.Set("ActionNames.member.99999999999999999999", "s3:Put") }), 400, "ValidationError"},
		"number as text":    {body(func(v url.Values) { v.Set("MaxItems", "x") }), 400, "ValidationError"},

		"no authorization":  {func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationToken"},
		"other algorithm":   {authorization("AWS4-HMAC-SHA256", "Bearer"), 400, "IncompleteSignature"},
		"no credential":     {authorization("Credential=", "X="), 400, "IncompleteSignature"},
		"no signed headers": {authorization("SignedHeaders=", "X="), 400, "IncompleteSignature"},
		"short signature":   {authorization("0000", ""), 400, "IncompleteSignature"},
		"no date":           {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 400, "IncompleteSignature"},
		"other service":     {authorization("/iam/", "/sts/"), 403, "SignatureDoesNotMatch"},
		"other region":      {authorization("us-east-1", "us-east-2"), 403, "SignatureDoesNotMatch"},
		"no key":            {authorization("AKID", ""), 403, "SignatureDoesNotMatch"},
		"host not signed":   {authorization(";host", ""), 403, "SignatureDoesNotMatch"},
		"old": {func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(-6*time.Minute).Format("20060102T150405Z"))
		}, 403, "SignatureDoesNotMatch"},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := newServer(t, iam.Options{})
			w := httptest.NewRecorder()
			server.ServeHTTP(w, request(test.edit))
			want := "<Code>" + test.code + "</Code>"
			if test.code == "" {
				want = `<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">` +
					`<SimulatePrincipalPolicyResult><EvaluationResults><member><EvalActionName>s3:Get</EvalActionName>`
			}
			if w.Code != test.status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("status %d, want %d %q; body %s", w.Code, test.status, test.code, w.Body)
			}
			calls := server.Calls()
			if len(calls) != 1 || calls[0].Code != test.code || calls[0].Status != test.status || calls[0].Service != "iam" {
				t.Fatalf("calls %+v", calls)
			}
			if id := w.Header().Get("X-Amzn-Requestid"); id != calls[0].RequestID ||
				!strings.Contains(w.Body.String(), "<RequestId>"+id+"</RequestId>") {
				t.Errorf("request id %q; body %s", id, w.Body)
			}
		})
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestCallsOverLoopback(t *testing.T) {
	server, _ := newServer(t, iam.Options{})
	loopback := httptest.NewServer(server)
	defer loopback.Close()
	c := sdk.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &loopback.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	})
	_, err := c.SimulatePrincipalPolicy(t.Context(), input([]string{"s3:Get"}))
	awstest.WantStatus(t, err, 0, "", "")
	calls := server.Calls()
	if len(calls) != 1 || calls[0].Operation != "SimulatePrincipalPolicy" || calls[0].Resource != roleARN || calls[0].Status != 200 ||
		calls[0].Code != "" {
		t.Errorf("calls %+v", calls)
	}
}
