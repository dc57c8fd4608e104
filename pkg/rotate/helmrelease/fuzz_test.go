package helmrelease

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/internal/runnerchart"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// fuzzSecret is the secret in the samples, so that a search finds it where it must not be.
const fuzzSecret = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"

// mustBeConfiguration checks an error of a parser.
func mustBeConfiguration(t *testing.T, err error) {
	t.Helper()
	if rotate.KindOf(err) != rotate.Configuration {
		t.Errorf("the error is of the kind %q: %v", rotate.KindOf(err), err)
	}
	if strings.Contains(err.Error(), fuzzSecret) {
		t.Errorf("the error holds the secret: %v", err)
	}
}

// quietly collects what is written by the standard logger, to which Helm writes values.
func quietly(t *testing.T) {
	var said bytes.Buffer
	before := log.Writer()
	log.SetOutput(&said)
	t.Cleanup(func() {
		log.SetOutput(before)
		if strings.Contains(said.String(), fuzzSecret) {
			t.Errorf("a secret was logged: %s", said.String())
		}
	})
}

// FuzzValues: in any values the secret is found where the path says, or the error is a Configuration error without it. An
// upgrade's values hold the new secret there, and are otherwise the same.
func FuzzValues(f *testing.F) {
	sample, err := json.Marshal(runnerchart.Values("0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f", "client", fuzzSecret))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample), `{"config":{"oauthClientId":"","oauthClientSecret":""}}`, defaultSecretPath)
	f.Add(`{"config":"`+fuzzSecret+`"}`, `{"config":{"oauthClientSecret":"x","oauthClientId":"y"}}`, defaultSecretPath)
	f.Add(`{"config":null}`, `{"config":{"oauthClientSecret":"x"}}`, defaultSecretPath)
	f.Add(`{"config":{"oauthClientSecret":{"a":"`+fuzzSecret+`"}}}`, `{}`, defaultSecretPath)
	f.Add(`{"secret":"`+fuzzSecret+`","oauthClientId":"c","list":[{"secret":null}]}`, `null`, "secret")
	f.Add(`{"a":{"b":{"oauthClientId":"c","c":"`+fuzzSecret+`"}},"global":{"x":1}}`, `{"a":{"b":{"d":null}},"global":7}`, "a.b.c")
	f.Fuzz(func(t *testing.T, given, ofChart, path string) {
		var config, defaults map[string]any
		if json.Unmarshal([]byte(given), &config) != nil || json.Unmarshal([]byte(ofChart), &defaults) != nil ||
			checkPath(path) != nil || strings.Contains(path+ofChart, fuzzSecret) {
			return
		}
		quietly(t)
		revision := &release.Release{Name: "runner", Version: 3, Config: config,
			Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "c"}, Values: defaults}}
		before := deepCopy(config)
		values, err := valuesOf(revision)
		if err != nil {
			mustBeConfiguration(t, err)
			return
		}
		held, err := values.credentials(path)
		if !reflect.DeepEqual(map[string]any(before), orEmpty(revision.Config)) {
			t.Errorf("reading the values has changed them")
		}
		if err != nil {
			mustBeConfiguration(t, err)
			return
		}
		if held.ClientID == "" || held.ClientSecret.IsZero() {
			t.Fatalf("accepted without a client ID or a secret")
		}
		if path == sibling(path, clientIDKey) {
			return // one value is both
		}
		// As Helm makes the values of an upgrade that resets and reuses them.
		next := maia.NewSecret("the-next-secret-of-the-runner")
		upgraded := *revision
		upgraded.Config = chartutil.CoalesceTables(override(path, next), deepCopy(config))
		again, err := valuesOf(&upgraded)
		if err != nil {
			t.Fatalf("what was accepted is refused after an upgrade: %v", err)
		}
		read, err := again.credentials(path)
		if err != nil || !read.ClientSecret.Equal(next) || read.ClientID != held.ClientID {
			t.Errorf("the upgrade's values hold another secret or another client: %v", err)
		}
		if !differOnlyIn(path, config, upgraded.Config) {
			t.Errorf("an upgrade with nothing but the secret is not seen as one")
		}
		upgraded.Config["another-value"] = "x"
		if differOnlyIn(path, config, upgraded.Config) && config["another-value"] != "x" {
			t.Errorf("another value is not seen")
		}
	})
}

func orEmpty(values map[string]any) map[string]any {
	if values == nil {
		return map[string]any{}
	}
	return values
}

// FuzzDifference: two sets of values count as the same but for the secret if and only if setting it makes them equal. Neither is
// changed, and nothing of them is logged.
func FuzzDifference(f *testing.F) {
	f.Add(`{"config":{"oauthClientSecret":"a","oauthClientId":"c"}}`,
		`{"config":{"oauthClientSecret":"`+fuzzSecret+`","oauthClientId":"c"}}`, defaultSecretPath)
	f.Add(`{"config":{"oauthClientSecret":"a"}}`, `{"config":"`+fuzzSecret+`"}`, defaultSecretPath)
	f.Add(`{"config":{"oauthClientSecret":{"a":"`+fuzzSecret+`"}}}`, `{"config":null}`, defaultSecretPath)
	f.Add(`{}`, `{"config":{}}`, defaultSecretPath)
	f.Add(`{"a":1}`, `{"a":"1"}`, "s")
	f.Add(`{"a":[]}`, `{"a":{}}`, "s")
	f.Add(`{"a":null}`, `{}`, "s")
	f.Fuzz(func(t *testing.T, left, right, path string) {
		var a, b map[string]any
		if json.Unmarshal([]byte(left), &a) != nil || json.Unmarshal([]byte(right), &b) != nil || a == nil || b == nil || checkPath(path) != nil {
			return
		}
		quietly(t)
		before := []map[string]any{deepCopy(a), deepCopy(b)}
		same := differOnlyIn(path, a, b)
		if !reflect.DeepEqual(before, []map[string]any{a, b}) {
			t.Errorf("comparing the values has changed them")
		}
		if same != differOnlyIn(path, b, a) {
			t.Errorf("the order of the two matters")
		}
		if !differOnlyIn(path, a, a) && tables(a, path) {
			t.Errorf("values differ from themselves")
		}
		if same {
			set(a, path)
			set(b, path)
			if !reflect.DeepEqual(a, b) {
				t.Errorf("%v and %v are taken for the same", a, b)
			}
		}
	})
}

// tables reports whether a path leads through tables only, as far as it is there.
func tables(values map[string]any, path string) bool {
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		next, there := values[key]
		if !there {
			return true
		}
		table, ok := next.(map[string]any)
		if !ok {
			return false
		}
		values = table
	}
	return true
}

func set(values map[string]any, path string) {
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		table, ok := values[key].(map[string]any)
		if !ok {
			table = map[string]any{}
			values[key] = table
		}
		values = table
	}
	values[keys[len(keys)-1]] = "set"
}

// FuzzManifest: what a chart has rendered is read, or is a Configuration error that quotes nothing of it.
func FuzzManifest(f *testing.F) {
	f.Add(runnerManifest)
	f.Add("kind: Secret\nstringData: {OAUTH_CLIENT_SECRET: " + fuzzSecret + "}\nmetadata: [x]")
	f.Add("kind: Secret\ndata: {OAUTH_CLIENT_SECRET: '" + fuzzSecret + "%'}\n")
	f.Add("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n---\n{}\n---\nkind: Deployment\nspec: {template: {spec: {containers: [{envFrom: " +
		"[{secretRef: {name: x}}]}]}}}")
	f.Add("kind: CronJob\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{env: [{name: OAUTH_CLIENT_SECRET, valueFrom: " +
		"{secretKeyRef: {name: config, key: x}}}]}]}}}}}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseManifest(text)
		if err != nil {
			mustBeConfiguration(t, err)
			return
		}
		for _, one := range parsed {
			if one.Kind == "" {
				t.Errorf("an object without a kind")
			}
			if _, err := one.pods(); err != nil && !strings.Contains(one.Kind+one.Name, fuzzSecret) {
				mustBeConfiguration(t, err)
			}
		}
		if name, err := parsed.secretHolding(maia.NewSecret(fuzzSecret)); err == nil && name != "" && !strings.Contains(text, name) {
			t.Errorf("the Secret %q is not in the manifest", name)
		}
	})
}

// FuzzReplicas: whatever a chart renders, the numbers of replicas of the named Deployments change and nothing else.
func FuzzReplicas(f *testing.F) {
	for _, sample := range []string{
		"kind: Deployment\nmetadata: {name: app}\nspec:\n  replicas: 2 # next to an HPA\n",
		"# é\n{kind: Deployment, metadata: {name: app, labels: {é: ü}}, spec: {replicas: 2}}",
		"kind: Deployment\nmetadata:\n  name: app\nspec:\n  replicas: \"2\"\n---\nkind: Deployment\nmetadata: {name: app}\nspec: {replicas: 2}\n",
		"kind: Deployment\rmetadata: {name: app}\rspec: {replicas: 2}\r",
		"kind: Deployment\nmetadata: {name: app, note: \"a\u2028b\"}\nspec: {replicas: 2}\n",
		"kind: Deployment\r\nmetadata: {name: app}\r\nspec: {replicas: &n 2, minReadySeconds: *n}\r\n",
		"kind: Deployment\nmetadata: {name: app}\nspec: {replicas: 2, replicas: 3}\n",
		"kind: Deployment\nmetadata: {name: app}\nspec:\n  replicas: !!int 2\n",
		"\ufeffkind: Deployment\nmetadata: {name: app}\nspec: {replicas: 0x2}\n",
	} {
		f.Add(sample, int32(11))
	}
	f.Fuzz(func(t *testing.T, text string, live int32) {
		kept, err := withReplicas([]byte(text), map[string]int32{"app": live})
		if err != nil {
			if kind := rotate.KindOf(err); kind != rotate.Configuration {
				t.Errorf("the error is of the kind %q: %v", kind, err)
			}
			return
		}
		before, after := documents(t, text), documents(t, string(kept))
		if len(before) != len(after) {
			t.Fatalf("%d documents became %d", len(before), len(after))
		}
		for i, document := range before {
			if kind, name, count := scalar(document, "kind"), scalar(document, "metadata", "name"),
				scalar(document, "spec", "replicas"); kind != nil && kind.Value == "Deployment" &&
				name != nil && name.Value == "app" && count != nil {
				now := scalar(after[i], "spec", "replicas")
				if now == nil {
					t.Fatalf("the number of replicas is gone")
				}
				var number int64
				if now.Value != count.Value && (now.Decode(&number) != nil || number != int64(live)) {
					t.Errorf("the number of replicas became %q, expected %d", now.Value, live)
				}
				*now = *count
			}
			if left, right := flat(document), flat(after[i]); left != right {
				t.Errorf("document %d was\n%s\nand became\n%s", i, left, right)
			}
		}
	})
}

func documents(t *testing.T, text string) (all []*yaml.Node) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var one yaml.Node
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("it is not YAML any more: %v", err)
		}
		all = append(all, &one)
	}
}

// flat is the content of a document without positions.
func flat(node *yaml.Node) string {
	var out strings.Builder
	var write func(*yaml.Node)
	write = func(n *yaml.Node) {
		out.WriteString(strings.Join([]string{"(", n.Tag, n.Value, n.Anchor, n.HeadComment, n.LineComment, n.FootComment}, "\x00"))
		for _, below := range n.Content {
			write(below)
		}
		out.WriteString(")")
	}
	write(node)
	return out.String()
}

// packed is a release's record as Helm stores it.
func packed(text []byte) []byte {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, _ = writer.Write(text)
	_ = writer.Close()
	return []byte(base64.StdEncoding.EncodeToString(out.Bytes()))
}

// FuzzRecord: whatever is in a release's record, we and Helm unpack at most a bounded part.
func FuzzRecord(f *testing.F) {
	f.Add(packed([]byte(`{"name":"runner","apply_method":"ssa"}`)))
	f.Add(packed(make([]byte, 1<<20)))
	f.Add([]byte("H4sIAAAAAAAA"))
	f.Add([]byte("not base64"))
	f.Fuzz(func(t *testing.T, record []byte) {
		text := unpack(record)
		if len(text) > longestRecord {
			t.Errorf("%d bytes were unpacked", len(text))
		}
		if len(text) < 1<<16 && text != nil && !bytes.Equal(unpack(packed(text)), text) {
			t.Errorf("what was unpacked is another after it is packed")
		}
		one := corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string][]byte{"release": record}}
		if err := checkLength(one); err != nil {
			mustBeConfiguration(t, err)
			if text != nil {
				t.Errorf("%d bytes are too long", len(text))
			}
		}
	})
}

// FuzzLeaseNote: whatever the annotations of a Lease say, its note is read as it will be written, or is a Configuration error.
func FuzzLeaseNote(f *testing.F) {
	f.Add(`{"applied":"0123456789ab","intent":{"at":"2026-03-01T10:00:00.123Z","over":"0123456789ab","by":"q3k5"},`+
		`"paused":{"at":"2026-03-01T09:59:00Z","by":"q3k5","confirmed":true,"until":"2026-03-01T12:00:00Z"},`+
		`"rotated":{"at":"2026-02-01T10:00:00Z","over":"ab0123456789","new":"0123456789ab"}}`,
		"7", "maia-rotate-abc", int32(45), int64(1_772_000_000))
	f.Add(`{"paused":{"at":"2026-03-01T09:59:00Z","by":"q3k5","until":"9999-12-31T23:59:59-01:00"}}`, "-1", "", int32(-1), int64(0))
	f.Add(`{"applied":"none"} {"applied":"x"}`, "99999999999999999999", "x", int32(1<<31-1), int64(1)<<40)
	f.Add(`null`, "", "x", int32(0), int64(-1))
	f.Add(`{"unknown":1}`, "1e3", "x", int32(0), int64(-1))
	f.Fuzz(func(t *testing.T, note, revision, holder string, seconds int32, renewed int64) {
		at := metav1.NewMicroTime(time.Unix(renewed, 0))
		l := newLock(nil, "runner")
		l.seen = &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{noteAnnotation: note, revisionAnnotation: revision, "other": "kept"}},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at},
		}
		l.state()
		if l.revision() < 0 {
			t.Errorf("the revision is %d", l.revision())
		}
		read, err := l.note()
		if err != nil {
			if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), noteAnnotation) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		annotations := ours(l.seen)
		writeNote(read)(annotations)
		setOurs(l.seen, annotations)
		if l.seen.Annotations["other"] != "kept" {
			t.Errorf("another annotation was changed")
		}
		if again, err := l.note(); err != nil || !again.Equal(read) {
			t.Errorf("the note %s became %s: %v", note, l.seen.Annotations[noteAnnotation], err)
		}
	})
}
