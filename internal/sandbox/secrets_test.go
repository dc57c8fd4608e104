package sandbox

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

func TestContains(t *testing.T) {
	const secret = "KZXW6YTBOJRGC6TJNZTQ"
	for _, text := range []string{
		secret,
		"before" + secret + "after",
		hex.EncodeToString([]byte("x" + secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(`{"a":"` + secret + `"}`)),
		base64.StdEncoding.EncodeToString([]byte(`{"ab":"` + secret + `"}`)),
		base64.URLEncoding.EncodeToString([]byte(`{"abc":"` + secret + `"}`)),
	} {
		if !contains([]byte(text), secret) {
			t.Errorf("not found in %s", text)
		}
	}
	for _, text := range []string{"", secret[:len(secret)-1], strings.ToLower(secret)} {
		if contains([]byte(text), secret) {
			t.Errorf("found in %q", text)
		}
	}
}

func TestLeaks(t *testing.T) {
	var secrets Secrets
	secrets.Learn("KZXW6YTBOJRGC6TJNZTQ", "a token")
	secrets.Learn("MFRGGZDFMZTWQ2LKNNWG", "a secret")
	places := map[string][]byte{"here": []byte("MFRGGZDFMZTWQ2LKNNWG KZXW6YTBOJRGC6TJNZTQ"), "there": []byte("nothing")}
	if got, want := secrets.Leaks(places), []string{"a secret is in here", "a token is in here"}; !slices.Equal(got, want) {
		t.Errorf("got %q, expected %q", got, want)
	}
}
