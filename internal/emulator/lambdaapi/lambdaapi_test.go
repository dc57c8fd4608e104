package lambdaapi_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambdaapi"
)

const (
	role   = "arn:aws:iam::123456789012:role/service-role/rotate"
	arn    = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"
	policy = `{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"sm","Effect":"Allow",` +
		`"Principal":{"Service":"secretsmanager.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"` + arn + `",` +
		`"Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"}}}]}`
)

// newServer returns a server with the function "rotate", and an SDK client of it.
func newServer(t *testing.T) (*lambdaapi.Server, *sdk.Client) {
	t.Helper()
	server := lambdaapi.New(lambdaapi.Options{})
	if got := server.AddFunction(lambdaapi.Function{
		Name: "rotate", Runtime: "provided.al2023", Architectures: []string{"arm64"}, Role: role, Timeout: 900, MemorySize: 256,
		Environment: map[string]string{"MAIA_REGION": "eu1"}, LogFormat: "JSON", Policy: policy,
		Aliases: map[string]string{"live": "", "7": strings.ReplaceAll(policy, arn, arn+":7")},
	}); got != arn {
		t.Fatalf("added as %s", got)
	}
	return server, sdk.NewFromConfig(awstest.Config("eu-west-1", server))
}

func TestGetFunctionConfiguration(t *testing.T) {
	server, c := newServer(t)
	get := func() *sdk.GetFunctionConfigurationOutput {
		out, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("rotate")})
		awstest.WantStatus(t, err, 0, "", "")
		return out
	}
	out := get()
	if *out.FunctionName != "rotate" || *out.FunctionArn != arn || *out.Role != role || *out.Handler != "bootstrap" ||
		*out.Version != "$LATEST" {
		t.Errorf("out = %+v", out)
	}
	if out.Runtime != types.RuntimeProvidedal2023 || !slices.Equal(out.Architectures, []types.Architecture{types.ArchitectureArm64}) ||
		out.PackageType != types.PackageTypeZip {
		t.Errorf("out = %+v", out)
	}
	if *out.Timeout != 900 || *out.MemorySize != 256 || out.State != types.StateActive ||
		out.LastUpdateStatus != types.LastUpdateStatusSuccessful {
		t.Errorf("out = %+v", out)
	}
	if !maps.Equal(out.Environment.Variables, map[string]string{"MAIA_REGION": "eu1"}) || out.LoggingConfig.LogFormat != types.LogFormatJson ||
		*out.LoggingConfig.LogGroup != "/aws/lambda/rotate" {
		t.Errorf("out = %+v", out)
	}
	if out.VpcConfig != nil || out.KMSKeyArn != nil {
		t.Errorf("out = %+v", out)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000-0700", *out.LastModified); err != nil {
		t.Error(err)
	}

	key := "arn:aws:kms:eu-west-1:123456789012:key/k"
	server.UpdateFunction("rotate", func(f *lambdaapi.Function) {
		f.VPC, f.KMSKeyArn, f.State, f.LastUpdateStatus = true, key, "Pending", "InProgress"
		f.Environment["MAIA_REGION"] = "us1"
	})
	changed := get()
	if changed.VpcConfig == nil || *changed.VpcConfig.VpcId == "" || *changed.KMSKeyArn != key || changed.State != types.StatePending ||
		changed.LastUpdateStatus != types.LastUpdateStatusInProgress {
		t.Errorf("changed = %+v", changed)
	}
	if changed.Environment.Variables["MAIA_REGION"] != "us1" || *changed.RevisionId == *out.RevisionId || *changed.Timeout != 900 {
		t.Errorf("changed = %+v", changed)
	}
}

func TestDefaults(t *testing.T) {
	server, c := newServer(t)
	server.AddFunction(lambdaapi.Function{Name: "plain", Role: role})
	out, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("plain")})
	awstest.WantStatus(t, err, 0, "", "")
	if *out.Timeout != 3 || *out.MemorySize != 128 || out.Architectures[0] != types.ArchitectureX8664 ||
		out.LoggingConfig.LogFormat != types.LogFormatText || out.Environment != nil {
		t.Errorf("out = %+v", out)
	}
}

// What names the function, for each operation. The SDK escapes the colons.
func TestFunctionName(t *testing.T) {
	_, c := newServer(t)
	for _, test := range []struct {
		name, qualifier string
		status          int
		code, words     string
		arn, version    string
	}{
		{name: "rotate", arn: arn, version: "$LATEST"},
		{name: arn, arn: arn, version: "$LATEST"},
		{name: "123456789012:function:rotate", arn: arn, version: "$LATEST"},
		{name: "function:rotate", arn: arn, version: "$LATEST"},
		{name: "rotate:$LATEST", arn: arn + ":$LATEST", version: "$LATEST"},
		{name: "rotate:live", arn: arn + ":live", version: "1"},
		{name: arn + ":live", arn: arn + ":live", version: "1"},
		{name: "123456789012:function:rotate:7", arn: arn + ":7", version: "7"},
		{name: arn, qualifier: "live", arn: arn + ":live", version: "1"},
		{name: arn + ":live", qualifier: "live", arn: arn + ":live", version: "1"},
		{name: arn + ":live", qualifier: "7", status: 400, code: "InvalidParameterValueException", words: "derived qualifier"},
		{name: "rotate", qualifier: "no way", status: 400, code: "ValidationException", words: "qualifier"},
		{name: "rotate", qualifier: "next", status: 404, code: "ResourceNotFoundException", words: "Function not found: " + arn + ":next"},
		{name: "rotate:8", status: 404, code: "ResourceNotFoundException", words: arn + ":8"},
		{name: "other", status: 404, code: "ResourceNotFoundException", words: "Function not found: " + strings.TrimSuffix(arn, "rotate") +
			"other"},
		{name: "Rotate", status: 404, code: "ResourceNotFoundException"},
		{name: strings.Replace(arn, "eu-west-1", "us-east-1", 1), status: 404, code: "ResourceNotFoundException",
			words: "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')"},
		{name: strings.Replace(arn, "123456789012", "123456789013", 1), status: 403, code: "AccessDeniedException",
			words: "lambda:GetFunctionConfiguration on resource: " + strings.Replace(arn, "123456789012", "123456789013", 1)},
		{name: "a/b", status: 400, code: "ValidationException", words: "functionName"},
		{name: "a b", status: 400, code: "ValidationException", words: "functionName"},
		{name: "rotate:live:7", status: 400, code: "ValidationException", words: "functionName"},
		{name: strings.Replace(arn, "lambda", "ecs", 1), status: 400, code: "ValidationException", words: "functionName"},
		{name: strings.Repeat("a", 65), status: 400, code: "ValidationException", words: "64"},
	} {
		in := &sdk.GetFunctionConfigurationInput{FunctionName: &test.name}
		if test.qualifier != "" {
			in.Qualifier = &test.qualifier
		}
		out, err := c.GetFunctionConfiguration(t.Context(), in)
		awstest.WantStatus(t, err, test.status, test.code, test.words)
		if err == nil && (*out.FunctionArn != test.arn || *out.Version != test.version || *out.FunctionName != "rotate") {
			t.Errorf("%s, %s: %s, version %s", test.name, test.qualifier, *out.FunctionArn, *out.Version)
		}
	}
}

func TestErrorIsTyped(t *testing.T) {
	_, c := newServer(t)
	_, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("other")})
	var notFound *types.ResourceNotFoundException
	if !errors.As(err, &notFound) || aws.ToString(notFound.Type) != "User" ||
		!strings.HasPrefix(notFound.ErrorMessage(), "Function not found") {
		t.Errorf("err = %#v", err)
	}
	_, err = c.GetFunctionConcurrency(t.Context(), &sdk.GetFunctionConcurrencyInput{FunctionName: aws.String("rotate:live")})
	var invalid *types.InvalidParameterValueException
	if !errors.As(err, &invalid) || !strings.Contains(invalid.ErrorMessage(), "permitted on Lambda functions only") {
		t.Errorf("err = %#v", err)
	}
}

// A refused change changes nothing, and the server keeps a copy of the function that its caller gave.
func TestFunctionIsCopied(t *testing.T) {
	server, c := newServer(t)
	variables := map[string]string{"AB": "1"}
	server.AddFunction(lambdaapi.Function{Name: "other", Role: role, Environment: variables})
	variables["AB"] = "2"
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		server.UpdateFunction("other", func(f *lambdaapi.Function) { f.Environment["AB"], f.Timeout = "3", -1 })
	}()
	out, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: aws.String("other")})
	awstest.WantStatus(t, err, 0, "", "")
	if out.Environment.Variables["AB"] != "1" || *out.Timeout != 3 {
		t.Errorf("out = %+v, variables %v", out, out.Environment.Variables)
	}
}

func TestGetFunctionConcurrency(t *testing.T) {
	server, c := newServer(t)
	get := func(name string) (*int32, error) {
		out, err := c.GetFunctionConcurrency(t.Context(), &sdk.GetFunctionConcurrencyInput{FunctionName: &name})
		if err != nil {
			return nil, err
		}
		return out.ReservedConcurrentExecutions, nil
	}
	if n, err := get(arn); err != nil || n != nil {
		t.Errorf("%v, %v", n, err)
	}
	for _, want := range []int{0, 10} {
		server.UpdateFunction("rotate", func(f *lambdaapi.Function) { f.ReservedConcurrency = &want })
		if n, err := get("rotate"); err != nil || n == nil || int(*n) != want {
			t.Errorf("%v, %v", n, err)
		}
	}
	_, err := get("rotate:$LATEST")
	awstest.WantStatus(t, err, 400, "InvalidParameterValueException", "permitted on Lambda functions only")
	_, err = get("other")
	awstest.WantStatus(t, err, 404, "ResourceNotFoundException", "")
}

func TestGetPolicy(t *testing.T) {
	server, c := newServer(t)
	for _, test := range []struct {
		name, qualifier, want string
	}{
		{"rotate", "", policy},
		{arn, "7", strings.ReplaceAll(policy, arn, arn+":7")},
		{arn + ":7", "", strings.ReplaceAll(policy, arn, arn+":7")},
		{arn, "live", ""},
		{"rotate", "$LATEST", ""},
	} {
		in := &sdk.GetPolicyInput{FunctionName: &test.name}
		if test.qualifier != "" {
			in.Qualifier = &test.qualifier
		}
		out, err := c.GetPolicy(t.Context(), in)
		if test.want == "" {
			awstest.WantStatus(t, err, 404, "ResourceNotFoundException", "The resource you requested does not exist.")
			continue
		}
		awstest.WantStatus(t, err, 0, "", "")
		if *out.Policy != test.want || *out.RevisionId == "" {
			t.Errorf("%s, %s: %+v", test.name, test.qualifier, out)
		}
	}
	_, err := c.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String("other")})
	awstest.WantStatus(t, err, 404, "ResourceNotFoundException", "Function not found")
	server.UpdateFunction("rotate", func(f *lambdaapi.Function) { f.Policy = "" })
	_, err = c.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String("rotate")})
	awstest.WantStatus(t, err, 404, "ResourceNotFoundException", "does not exist")
}

func TestDeny(t *testing.T) {
	server, c := newServer(t)
	name := aws.String("rotate")
	all := map[string]func() error{
		"GetFunctionConfiguration": func() error {
			_, err := c.GetFunctionConfiguration(t.Context(), &sdk.GetFunctionConfigurationInput{FunctionName: name})
			return err
		},
		"GetFunctionConcurrency": func() error {
			_, err := c.GetFunctionConcurrency(t.Context(), &sdk.GetFunctionConcurrencyInput{FunctionName: name})
			return err
		},
		"GetPolicy": func() error {
			_, err := c.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: name})
			return err
		},
	}
	for denied := range all {
		allow := server.Deny(denied)
		for range 2 {
			for operation, do := range all {
				if operation == denied {
					awstest.WantStatus(t, do(), 403, "AccessDeniedException", "not authorized to perform: lambda:"+denied+" on resource: "+arn)
				} else {
					awstest.WantStatus(t, do(), 0, "", "")
				}
			}
		}
		allow()
		awstest.WantStatus(t, all[denied](), 0, "", "")
	}
}

func TestMisuse(t *testing.T) {
	good := func() lambdaapi.Function { return lambdaapi.Function{Name: "other", Role: role} }
	with := func(edit func(*lambdaapi.Function)) func(*lambdaapi.Server) {
		return func(s *lambdaapi.Server) {
			f := good()
			edit(&f)
			s.AddFunction(f)
		}
	}
	for name, misuse := range map[string]func(*lambdaapi.Server){
		"unknown operation": func(s *lambdaapi.Server) { s.Deny("Invoke") },
		"unknown function":  func(s *lambdaapi.Server) { s.UpdateFunction("other", func(*lambdaapi.Function) {}) },
		"renamed": func(s *lambdaapi.Server) {
			s.UpdateFunction("rotate", func(f *lambdaapi.Function) { f.Name = "other" })
		},
		"invalid change":    func(s *lambdaapi.Server) { s.UpdateFunction("rotate", func(f *lambdaapi.Function) { f.Timeout = -1 }) },
		"name":              with(func(f *lambdaapi.Function) { f.Name = "a b" }),
		"name that exists":  with(func(f *lambdaapi.Function) { f.Name = "rotate" }),
		"role":              with(func(f *lambdaapi.Function) { f.Role = "rotate" }),
		"timeout":           with(func(f *lambdaapi.Function) { f.Timeout = 901 }),
		"memory":            with(func(f *lambdaapi.Function) { f.MemorySize = 64 }),
		"two architectures": with(func(f *lambdaapi.Function) { f.Architectures = []string{"arm64", "x86_64"} }),
		"architecture":      with(func(f *lambdaapi.Function) { f.Architectures = []string{"arm"} }),
		"state":             with(func(f *lambdaapi.Function) { f.State = "active" }),
		"update":            with(func(f *lambdaapi.Function) { f.LastUpdateStatus = "Done" }),
		"log format":        with(func(f *lambdaapi.Function) { f.LogFormat = "json" }),
		"key":               with(func(f *lambdaapi.Function) { f.KMSKeyArn = "alias/x" }),
		"variable":          with(func(f *lambdaapi.Function) { f.Environment = map[string]string{"1A": ""} }),
		"large variables":   with(func(f *lambdaapi.Function) { f.Environment = map[string]string{"AB": strings.Repeat("a", 4095)} }),
		"concurrency":       with(func(f *lambdaapi.Function) { f.ReservedConcurrency = new(-1) }),
		"policy":            with(func(f *lambdaapi.Function) { f.Policy = `{}` }),
		"policy of a role": with(func(f *lambdaapi.Function) {
			f.Policy = `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`
		}),
		"alias":              with(func(f *lambdaapi.Function) { f.Aliases = map[string]string{"$LATEST": ""} }),
		"policy of an alias": with(func(f *lambdaapi.Function) { f.Aliases = map[string]string{"live": `{}`} }),
	} {
		server, _ := newServer(t)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse(server)
		}()
	}
	server, _ := newServer(t)
	server.AddFunction(good())
}

// request returns a request that is good but for what edit does to it.
func request(edit func(*http.Request)) *http.Request {
	now := time.Now().UTC()
	r := httptest.NewRequest(http.MethodGet, "http://lambda.test/2015-03-31/functions/rotate/configuration", nil)
	r.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/"+now.Format("20060102")+
		"/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64))
	if edit != nil {
		edit(r)
	}
	return r
}

func TestProtocol(t *testing.T) {
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	query := func(q string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = q } }
	authorization := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), old, new))
		}
	}
	const unknown = "AccessDeniedException"
	for name, test := range map[string]struct {
		edit   func(*http.Request)
		status int
		code   string // "" is success
	}{
		"good":      {nil, 200, ""},
		"qualifier": {query("Qualifier=live"), 200, ""},

		"method":             {func(r *http.Request) { r.Method = http.MethodPost }, 403, unknown},
		"root":               {path("/"), 403, unknown},
		"the function alone": {path("/2015-03-31/functions/rotate"), 403, unknown},
		"slash at the end":   {path("/2015-03-31/functions/rotate/configuration/"), 403, unknown},
		"other operation":    {path("/2015-03-31/functions/rotate/code"), 403, unknown},
		"version of another": {path("/2015-03-31/functions/rotate/concurrency"), 403, unknown},
		"not functions":      {path("/2015-03-31/layers/rotate/policy"), 403, unknown},
		"no name":            {path("/2015-03-31/functions//policy"), 400, "ValidationException"},
		"unknown parameter":  {query("qualifier=live"), 400, "InvalidParameterValueException"},
		"two qualifiers":     {query("Qualifier=live&Qualifier=live"), 400, "InvalidParameterValueException"},
		"empty qualifier":    {query("Qualifier="), 400, "ValidationException"},
		"parameter it has none": {func(r *http.Request) {
			r.URL.Path = "/2019-09-30/functions/rotate/concurrency"
			r.URL.RawQuery = "Qualifier=live"
		}, 400, "InvalidParameterValueException"},

		"no authorization":    {func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationTokenException"},
		"other algorithm":     {authorization("AWS4-HMAC-SHA256", "Bearer"), 403, "IncompleteSignatureException"},
		"no credential":       {authorization("Credential=", "X="), 403, "IncompleteSignatureException"},
		"no signed headers":   {authorization("SignedHeaders=", "X="), 403, "IncompleteSignatureException"},
		"short signature":     {authorization("0000", ""), 403, "IncompleteSignatureException"},
		"no date":             {func(r *http.Request) { r.Header.Del("X-Amz-Date") }, 403, "IncompleteSignatureException"},
		"other service":       {authorization("/lambda/", "/ecs/"), 403, "InvalidSignatureException"},
		"other region":        {authorization("eu-west-1", "us-east-1"), 403, "InvalidSignatureException"},
		"no key":              {authorization("AKID", ""), 403, "InvalidSignatureException"},
		"host not signed":     {authorization("host;", ""), 403, "InvalidSignatureException"},
		"a header not signed": {func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "TOKEN") }, 403, "InvalidSignatureException"},
		"old": {func(r *http.Request) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(-6*time.Minute).Format("20060102T150405Z"))
		}, 403, "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			server, _ := newServer(t)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, request(test.edit))
			if w.Code != test.status || w.Header().Get("X-Amzn-Errortype") != test.code {
				t.Errorf("status %d, code %q, want %d %q; body %s", w.Code, w.Header().Get("X-Amzn-Errortype"), test.status, test.code, w.Body)
			}
			member := map[string]string{"InvalidParameterValueException": `"message":`, "ValidationException": `"message":`}[test.code]
			if member == "" {
				member = `"Message":`
			}
			if test.code != "" && (!strings.Contains(w.Body.String(), member) || !strings.Contains(w.Body.String(), `"Type":"User"`)) {
				t.Errorf("body %s, want member %s", w.Body, member)
			}
			if w.Header().Get("X-Amzn-Requestid") == "" || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", w.Header())
			}
			if calls := server.Calls(); len(calls) != 1 || calls[0].Code != test.code || calls[0].Status != test.status ||
				calls[0].Service != "lambda" {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

func TestCallsOverLoopback(t *testing.T) {
	server, _ := newServer(t)
	loopback := httptest.NewServer(server)
	defer loopback.Close()
	c := sdk.NewFromConfig(aws.Config{
		Region: "eu-west-1", BaseEndpoint: &loopback.URL, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	})
	if _, err := c.GetPolicy(t.Context(), &sdk.GetPolicyInput{FunctionName: aws.String(arn + ":7")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.GetFunctionConcurrency(t.Context(), &sdk.GetFunctionConcurrencyInput{FunctionName: aws.String("other")})
	awstest.WantStatus(t, err, 404, "ResourceNotFoundException", "")
	var got []string
	for _, call := range server.Calls() {
		got = append(got, call.Operation+" "+call.Resource+" "+call.Code)
	}
	if want := []string{"GetPolicy " + arn + ":7 ", "GetFunctionConcurrency other ResourceNotFoundException"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}
