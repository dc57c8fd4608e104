package ecs

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	keyClientID     = "client_id"
	keyClientSecret = "client_secret"

	maxDocument = 64 << 10 // bytes of a secret's value, a limit of Secrets Manager
)

// Document is the value of a secret: a JSON object with the strings client_id and client_secret, and whatever else its
// owner keeps there. It prints as redacted.
type Document struct {
	maia.Secret // the whole text
	credentials maia.Credentials
}

// ParseDocument checks the text of a secret. The error never holds any of it.
func ParseDocument(text string) (Document, error) {
	switch trimmed := strings.TrimSpace(text); {
	case trimmed == "":
		return Document{}, documentError("is empty")
	case !json.Valid([]byte(text)) || !utf8.ValidString(text): // others would read something else in its place
		return Document{}, documentError("is not JSON")
	case trimmed[0] != '{':
		return Document{}, documentError("is JSON but not an object")
	}
	var id, secret string
	for _, field := range []struct {
		key  string
		into *string
	}{{keyClientID, &id}, {keyClientSecret, &secret}} {
		value, err := stringField(text, field.key)
		if err != nil {
			return Document{}, err
		}
		*field.into = value
	}
	return Document{
		Secret:      maia.NewSecret(text),
		credentials: maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)},
	}, nil
}

func stringField(text, key string) (string, error) {
	var found []gjson.Result
	gjson.Parse(text).ForEach(func(name, value gjson.Result) bool {
		if name.String() == key {
			found = append(found, value)
		}
		return true
	})
	switch {
	case len(found) == 0:
		return "", documentError("has no key " + key)
	case len(found) > 1:
		return "", documentError("has the key " + key + " more than once")
	case found[0].Type != gjson.String:
		return "", documentError("has a " + key + " that is not a string")
	case found[0].String() == "":
		return "", documentError("has an empty " + key)
	}
	return found[0].String(), nil
}

func documentError(what string) error {
	return rotate.Errorf(rotate.Configuration, "the secret's value %s", what).
		WithHint(`store {"client_id":"…","client_secret":"…"} in it`)
}

// Credentials are the client_id and client_secret of the document.
func (d Document) Credentials() maia.Credentials { return d.credentials }

// with is the document with another client_secret; every other byte stays.
func (d Document) with(secret maia.Secret) (Document, error) {
	text, err := sjson.Set(d.Reveal(), keyClientSecret, secret.Reveal())
	if err != nil {
		return Document{}, rotate.Errorf(rotate.Internal, "the secret's value cannot be edited")
	}
	if len(text) > maxDocument {
		return Document{}, documentError("would be longer than 64 KiB with the new client_secret")
	}
	return ParseDocument(text)
}
