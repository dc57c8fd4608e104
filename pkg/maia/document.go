package maia

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// ParseDocument reads credentials as clouds keep them: a JSON object with the strings client_id and client_secret, each once, and
// whatever else its owner keeps there. The error goes on from the name of the document ("has no key client_id"), and holds none of it.
func ParseDocument(text []byte) (Credentials, error) {
	switch trimmed := bytes.TrimSpace(text); {
	case len(trimmed) == 0:
		return Credentials{}, errors.New("is empty")
	case !json.Valid(text) || !utf8.Valid(text): // others would read something else in its place
		return Credentials{}, errors.New("is not JSON")
	case trimmed[0] != '{':
		return Credentials{}, errors.New("is JSON but not an object")
	}
	found := map[string][]json.RawMessage{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	_, _ = decoder.Token() // it is valid
	for decoder.More() {
		key, _ := decoder.Token()
		var value json.RawMessage
		_ = decoder.Decode(&value)
		found[key.(string)] = append(found[key.(string)], value)
	}
	var texts [2]string
	for i, key := range []string{"client_id", "client_secret"} {
		switch values := found[key]; {
		case len(values) == 0:
			return Credentials{}, errors.New("has no key " + key)
		case len(values) > 1:
			return Credentials{}, errors.New("has the key " + key + " more than once")
		case values[0][0] != '"':
			return Credentials{}, errors.New("has a " + key + " that is not a string")
		default:
			_ = json.Unmarshal(values[0], &texts[i])
		}
		if texts[i] == "" {
			return Credentials{}, errors.New("has an empty " + key)
		}
	}
	return Credentials{ClientID: texts[0], ClientSecret: NewSecret(texts[1])}, nil
}
