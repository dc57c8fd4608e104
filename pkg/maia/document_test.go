package maia_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// FuzzDocument: a document gives the credentials that it holds, once and as strings, or else an error that does not repeat it.
func FuzzDocument(f *testing.F) {
	const secret = "KZXW6YTBOJRGC6TJNZTQ"
	for sample, says := range map[string]string{
		`{"client_id":"an-id","client_secret":"` + secret + `"}`:                              "",
		`{"other":[1,{"client_id":2}],"client\u005fsecret":"` + secret + `","client_id":"a"}`: "",
		`{"client_id":"a","client_secret":"` + secret + `","client_secret":"b"}`:              "has the key client_secret more than once",
		`{"client_id":"` + "\xff" + `","client_secret":"x"}`:                                  "is not JSON",
		`["` + secret + `"]`: "is JSON but not an object",
		`{"client_id":"a","client_secret":["` + secret + `"]}`: "has a client_secret that is not a string",
		secret:                                  "is not JSON",
		``:                                      "is empty",
		` {} `:                                  "has no key client_id",
		`{"client_id":"a"}`:                     "has no key client_secret",
		`{"client_id":"","client_secret":""}`:   "has an empty client_id",
		`{"client_id":null,"client_secret":""}`: "has a client_id that is not a string",
	} {
		f.Add([]byte(sample))
		if _, err := maia.ParseDocument([]byte(sample)); (err == nil) != (says == "") || err != nil && err.Error() != says {
			f.Errorf("%s: error %v, want %q", sample, err, says)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		credentials, err := maia.ParseDocument(data)
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the secret: %v", err)
			}
			return
		}
		var document map[string]any
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatalf("what is not a JSON object is read: %v", err)
		}
		if document["client_id"] != credentials.ClientID || document["client_secret"] != credentials.ClientSecret.Reveal() ||
			credentials.ClientID == "" || credentials.ClientSecret.IsZero() {
			t.Errorf("read are other credentials, of client %q", credentials.ClientID)
		}
	})
}
