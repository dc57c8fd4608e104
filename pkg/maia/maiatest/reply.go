package maiatest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// reply is an answer before it is written.
type reply struct {
	status   int // 0: the connection is dropped instead
	header   map[string]string
	body     []byte
	truncate bool // the connection is dropped in the middle of the body
}

// dropped is no answer at all.
func dropped() reply { return reply{} }

func jsonReply(status int, value any) reply {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // the fake's own values
	}
	return reply{status: status, header: map[string]string{"Content-Type": "application/json"}, body: body}
}

// problem is a refusal by the API (RFC 7807).
func problem(status int, instance, detail string) reply {
	title := http.StatusText(status)
	answer := jsonReply(status, map[string]any{
		"type":     "https://api.matillion.com/problems/" + strings.ReplaceAll(strings.ToLower(title), " ", "-"),
		"title":    title,
		"status":   status,
		"detail":   detail,
		"instance": strings.TrimPrefix(instance, basePath),
	})
	answer.header["Content-Type"] = "application/problem+json"
	return answer
}

// oauthError is a refusal by the token endpoint (RFC 6749, section 5.2).
func oauthError(status int, code, description string) reply {
	return jsonReply(status, map[string]string{"error": code, "error_description": description})
}

// with returns the reply with one more header.
func (a reply) with(key, value string) reply {
	a.header[key] = value
	return a
}

// edit replaces those of the given top-level fields that the body has.
func (a reply) edit(fields map[string]string) reply {
	var object map[string]any
	if json.Unmarshal(a.body, &object) != nil {
		return a
	}
	for key, value := range fields {
		if _, ok := object[key]; ok {
			object[key] = value
		}
	}
	edited := jsonReply(a.status, object)
	edited.header = a.header
	return edited
}

// write sends the reply. A dropped connection is the panic that net/http defines for it, which Transport understands too.
func (a reply) write(w http.ResponseWriter) {
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	for key, value := range a.header {
		w.Header().Set(key, value)
	}
	if !a.truncate {
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)+1))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
