package aws

import (
	"bytes"
	"encoding/json"
	"strings"
)

// storedCredentials is what a task would read now.
type storedCredentials struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
}

func (w *World) stored() (storedCredentials, error) {
	var stored storedCredentials
	text, err := w.Secrets.Value(w.SecretARN, "", "")
	if err != nil {
		return stored, err
	}
	return stored, json.Unmarshal([]byte(text), &stored)
}

// leaks names the secrets that are where none must be, and the place.
func (w *World) leaks(printed []*bytes.Buffer) []string {
	w.Maia.Learn()
	var labels []string
	for _, version := range w.Secrets.Versions(w.SecretARN) {
		labels = append(labels, version.Stages...)
	}
	var output []byte
	for _, buffer := range printed {
		output = append(output, buffer.Bytes()...)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.secrets.Leaks(map[string][]byte{
		"the function's output":     w.Function.Output(),
		"the function's answers":    w.answers.Bytes(),
		"the staging labels":        []byte(strings.Join(labels, "\n")),
		"the output of the sandbox": output,
	})
}
