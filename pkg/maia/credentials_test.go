package maia_test

import (
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

func TestCredentialsValidate(t *testing.T) {
	for _, tt := range []struct{ name, id, secret, want string }{
		{"good", "client", "s3cret-s3cret", ""},
		{"eight characters", "client", "12345678", ""},
		{"single stars", "client", "ab*cd*ef**gh", ""},
		{"no client ID", "", "s3cret-s3cret", "client ID is empty"},
		{"client ID with line feed", "client\n", "s3cret-s3cret", "client ID contains white space"},
		{"no secret", "client", "", "client secret is empty"},
		{"stars", "client", "************", "client secret is masked"},
		{"few stars", "client", "**", "client secret is masked"},
		{"bullets", "client", "••••••••••", "client secret is masked"},
		{"partly shown", "client", "abcd******wxyz", "client secret is masked"},
		{"one bullet", "client", "abcdefgh•", "client secret is masked"},
		{"our own mark", "client", "[redacted]", "client secret is masked"},
		{"short", "client", "1234567", "client secret has fewer than 8 characters"},
		{"short in characters, not bytes", "client", "äöüßäöü", "client secret has fewer than 8 characters"},
		{"trailing line feed", "client", "s3cret-s3cret\n", "client secret contains white space"},
		{"space", "client", "s3cret s3cret", "client secret contains white space"},
		{"control character", "client", "s3cret\x00s3cret", "client secret contains white space or control"},
		{"not UTF-8", "client", "s3cret-\xff-s3cret", "client secret is not valid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := maia.Credentials{ClientID: tt.id, ClientSecret: maia.NewSecret(tt.secret)}.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case err != nil && tt.secret != "" && strings.Contains(err.Error(), tt.secret):
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
}

func TestCredentialsEqual(t *testing.T) {
	a := maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("one-secret")}
	for _, tt := range []struct {
		b    maia.Credentials
		want bool
	}{
		{maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("one-secret")}, true},
		{maia.Credentials{ClientID: "Client", ClientSecret: maia.NewSecret("one-secret")}, false},
		{maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("two-secret")}, false},
		{maia.Credentials{}, false},
	} {
		if got := a.Equal(tt.b); got != tt.want {
			t.Errorf("%+v: %v", tt.b, got)
		}
	}
}
