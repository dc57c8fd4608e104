package ecs

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestParseValueFrom(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:matillion-oauth-credentials-AbCdEf"
	tests := map[string]struct {
		text  string
		want  valueFrom
		ok    bool
		names bool
	}{
		"the ARN":            {arn, valueFrom{arn: arn}, true, true},
		"a key":              {arn + ":client_secret::", valueFrom{arn: arn, key: "client_secret"}, true, true},
		"everything":         {arn + ":k:s:v", valueFrom{arn, "k", "s", "v"}, true, true},
		"without the suffix": {arn[:len(arn)-7] + ":k::", valueFrom{arn: arn[:len(arn)-7], key: "k"}, true, true},
		"another secret":     {arn + "x:k::", valueFrom{arn: arn + "x", key: "k"}, true, false},
		"a parameter":        {"arn:aws:ssm:eu-west-1:123456789012:parameter/x", valueFrom{}, false, false},
		"a name":             {"matillion-oauth-credentials", valueFrom{}, false, false},
		"empty":              {"", valueFrom{}, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseValueFrom(test.text)
			if got != test.want || ok != test.ok || got.names(arn) != test.names {
				t.Errorf("parseValueFrom(%q) = %+v, %t, names %t", test.text, got, ok, got.names(arn))
			}
		})
	}
}

func TestDocumentKeepsEveryOtherByte(t *testing.T) {
	tests := map[string]struct{ before, secret, after string }{
		"order, spacing, numbers": {
			"{ \"a\" : 1.10e+2,\n\t\"client_secret\"  :\"old-secret\" , \"client_id\":\"c\",\"b\":[1, 2 " +
				",{\"client_secret\":\"inner\"}]}\n", "new-secret",
			"{ \"a\" : 1.10e+2,\n\t\"client_secret\"  :\"new-secret\" , \"client_id\":\"c\",\"b\":[1, 2 ,{\"client_secret\":\"inner\"}]}\n",
		},
		"an escaped key": {`{"client_id":"c","client\u005fsecret":"old-secret"}`, "new-secret",
			`{"client_id":"c","client\u005fsecret":"new-secret"}`},
		"quotes in the secret": {`{"client_id":"c","client_secret":"old-secret"}`, `q"\` + "\n", `{"client_id":"c","client_secret":"q\"\\\n"}`},
		"an escaped old one": {`{"client_id":"c","client_secret":"a\"}b","z":1}`, "new-secret",
			`{"client_id":"c","client_secret":"new-secret","z":1}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			document, err := ParseDocument(test.before)
			if err != nil {
				t.Fatal(err)
			}
			changed, err := document.with(maia.NewSecret(test.secret))
			if err != nil {
				t.Fatal(err)
			}
			if changed.Reveal() != test.after {
				t.Errorf("got\n%s, want\n%s", changed.Reveal(), test.after)
			}
			if changed.Credentials().ClientSecret.Reveal() != test.secret || changed.Credentials().ClientID != "c" {
				t.Errorf("read back as something else")
			}
		})
	}
}

// Not every emulator of the services has every date.
func TestReadWithoutDates(t *testing.T) {
	primary := types.Deployment{Id: aws.String("ecs-svc/1"), Status: aws.String("PRIMARY")}
	tests := map[string]struct {
		ordered string
		want    rotate.ReadState
	}{
		"a deployment of this run's": {"1", rotate.ReadCurrent},
		"one that was there before":  {"", rotate.ReadUnknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := service{seen: types.Service{Deployments: []types.Deployment{primary}}}
			if test.ordered != "" {
				s.order = &order{id: test.ordered}
			}
			if got := s.read(orders{}, time.Time{}, time.Time{}); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// A replica is of the same account and name, in another region.
func TestReplicas(t *testing.T) {
	const secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf"
	for arn, want := range map[string]string{
		"arn:aws:secretsmanager:eu-central-1:123456789012:secret:runner-AbCdEf": "eu-central-1",
		"arn:aws:secretsmanager:eu-central-1:123456789012:secret:runner":        "eu-central-1",
		secret: "",
		"arn:aws:secretsmanager:eu-central-1:999999999999:secret:runner-AbCdEf": "",
		"arn:aws:secretsmanager:eu-central-1:123456789012:secret:other-AbCdEf":  "",
	} {
		from, ok := parseValueFrom(arn + ":client_secret::")
		if got := from.replicaOf(secret); !ok || got != want {
			t.Errorf("%s is a replica in %q, want %q", arn, got, want)
		}
	}
}
