package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The sandbox's own names, as ARNs.
const (
	ecsARN     = "arn:aws:ecs:" + region + ":" + account
	clusterARN = ecsARN + ":cluster/" + sandboxaws.Cluster
	serviceARN = ecsARN + ":service/" + sandboxaws.Cluster + "/" + sandboxaws.Service
)

// scenarios are the events whose calls are recorded, in this order and in one world.
//
// A NEW EVENT OF THE FUNCTION GOES HERE.
var scenarios = []struct {
	name string
	play func(context.Context, *testing.T, *sandboxaws.World)
}{
	{"plan", func(ctx context.Context, t *testing.T, w *sandboxaws.World) {
		if _, err := w.Act(ctx, []byte(`{"action":"plan"}`)); err != nil {
			t.Error(err)
		}
	}},
	{"rotation", func(ctx context.Context, t *testing.T, w *sandboxaws.World) {
		if end, err := w.Rotate(ctx); err != nil || end.Name != secretsmanager.RotationSucceeded {
			t.Errorf("%+v, %v", end, err)
		}
	}},
	{"a refresh in the console in the middle of a rotation, which is abandoned", func(ctx context.Context, t *testing.T, w *sandboxaws.World) {
		w.Secrets.Inject(awsjson.Fault{Operation: "PutSecretValue", Nth: 1, After: func() { w.Maia.ConsoleRefresh(sandbox.AgentID) }})
		if end, err := w.Rotate(ctx); err != nil || end.Name != secretsmanager.RotationAbandoned {
			t.Errorf("%+v, %v", end, err)
		}
	}},
	{"a rotation that is cut off after the refresh, and tried again", func(ctx context.Context, t *testing.T, w *sandboxaws.World) {
		w.Maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, After: w.Function.Kill})
		if end, err := w.Rotate(ctx); err != nil || end.Name != secretsmanager.RotationSucceeded {
			t.Errorf("%+v, %v", end, err)
		}
	}},
	{"healing of a store that another writer reverted", func(ctx context.Context, t *testing.T, w *sandboxaws.World) {
		w.Secrets.Put(w.SecretARN, w.Document)
		if err := w.Heal(ctx); err != nil {
			t.Error(err)
		}
	}},
}

// recording is the requests for permission that the compiled function made in a world, whose ARNs are these.
type recording struct {
	secret, credentials string
	requests            []iampolicy.Request
}

// record plays all scenarios with the function under the environment that a deployment gives it.
func record(t *testing.T, binary string, environment func(secret, credentials string) map[string]string) recording {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var mu sync.Mutex
	recorded := recording{}
	seen := map[string]bool{}
	world, err := sandboxaws.New(ctx, sandboxaws.Options{Binary: binary, Wrap: func(source sandbox.Source, service http.Handler) http.Handler {
		if source == sandbox.FromMaia {
			return service
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			service.ServeHTTP(w, r)
			if strings.Contains(r.Header.Get("Authorization"), "Credential=sandbox/") {
				return // the world's own reads
			}
			mu.Lock()
			defer mu.Unlock()
			for _, request := range permissions(t, r.Header.Get("X-Amz-Target"), body) {
				if key := request.Action + request.Resource + request.Context["ecs:cluster"]; !seen[key] {
					seen[key] = true
					recorded.requests = append(recorded.requests, request)
				}
			}
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	recorded.secret, recorded.credentials = world.SecretARN, credentialsARN(t, world)

	world.Function.Close()
	env := []string{
		"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + world.SecretsURL,
		"AWS_ENDPOINT_URL_ECS=" + world.ECSURL,
		"MAIA_API_URL=" + maiatest.APIURL(world.Maia.URL),
		"MAIA_TOKEN_URL=" + maiatest.TokenURL(world.Maia.URL),
	}
	for name, value := range environment(recorded.secret, recorded.credentials) {
		env = append(env, name+"="+value)
	}
	world.Function = lambda.New(lambda.Options{Binary: binary, FunctionARN: functionARN, Timeout: 15 * time.Minute, Env: env})
	for _, scenario := range scenarios {
		scenario.play(ctx, t, world)
		if t.Failed() {
			t.Fatalf("%s failed; the function's output:\n%s", scenario.name, world.Function.Output())
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return recorded
}

// permissions are what IAM asks a policy about a call. The resources and condition keys of ECS are those of the service
// authorization reference: UpdateService, for one, has no key ecs:cluster.
func permissions(t *testing.T, target string, body []byte) (requests []iampolicy.Request) {
	var in struct {
		SecretID         string `json:"SecretId"`
		Cluster, Service string
		Services         []string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		t.Errorf("%s: %v", target, err)
	}
	cluster := in.Cluster
	if !strings.HasPrefix(cluster, "arn:") {
		cluster = ecsARN + ":cluster/" + cluster
	}
	ofCluster := map[string]string{"ecs:cluster": cluster}
	service := func(name string) string {
		if strings.HasPrefix(name, "arn:") {
			return name
		}
		return strings.Replace(cluster, ":cluster/", ":service/", 1) + "/" + name
	}
	prefix, operation, _ := strings.Cut(target, ".")
	switch action := map[string]string{"secretsmanager": "secretsmanager:", "AmazonEC2ContainerServiceV20141113": "ecs:"}[prefix] +
		operation; action {
	case "ecs:DescribeServices":
		for _, name := range in.Services {
			requests = append(requests, iampolicy.Request{Action: action, Resource: service(name), Context: ofCluster})
		}
	case "ecs:UpdateService":
		requests = append(requests, iampolicy.Request{Action: action, Resource: service(in.Service)})
	case "ecs:ListServices":
		requests = append(requests, iampolicy.Request{Action: action, Resource: "*", Context: ofCluster})
	case "ecs:DescribeTaskDefinition", "secretsmanager:ListSecrets":
		requests = append(requests, iampolicy.Request{Action: action, Resource: "*"})
	default:
		if !strings.HasPrefix(in.SecretID, "arn:") {
			t.Errorf("%s names no secret by its ARN: which resource does IAM ask about?", target)
		}
		requests = append(requests, iampolicy.Request{Action: action, Resource: in.SecretID})
	}
	return requests
}

// credentialsARN asks for the ARN of the Maia API credential's secret.
func credentialsARN(t *testing.T, world *sandboxaws.World) string {
	t.Helper()
	client := awssecrets.New(awssecrets.Options{
		Region: region, BaseEndpoint: &world.SecretsURL,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", ""),
	})
	out, err := client.DescribeSecret(t.Context(), &awssecrets.DescribeSecretInput{SecretId: aws.String("maia-api-credential")})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}
