package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The runner's variables.
const (
	clientID     = "OAUTH_CLIENT_ID"
	clientSecret = "OAUTH_CLIENT_SECRET"
	agentID      = "AGENT_ID"
)

// Login is what the runner in a pod posts to the login URL of its namespace, as JSON: "start" until it gets an answer,
// "alive" every half a second from then on, and "stop" when its pod is gone. It holds the secret in clear, as a login does.
// Any answer but a 2xx or a 401 is repeated; a runner that is refused goes on running.
type Login struct {
	Event        string `json:"event"`
	Namespace    string `json:"namespace"`
	Pod          string `json:"pod"`
	AgentID      string `json:"agentId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
}

const (
	aliveEvery = 500 * time.Millisecond
	stopTries  = 10
)

// login is the program of a runner. It ends with ctx, which is its pod.
func login(ctx context.Context, url string, pod *corev1.Pod, variables map[string]string) {
	says := Login{Namespace: pod.Namespace, Pod: pod.Name, AgentID: variables[agentID], ClientID: variables[clientID],
		ClientSecret: variables[clientSecret]}
	client := &http.Client{Timeout: 5 * time.Second}
	post := func(ctx context.Context, event string) bool {
		says.Event = event
		text, _ := json.Marshal(says) // strings only
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
		if err != nil {
			return false
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode/100 == 2 || response.StatusCode == http.StatusUnauthorized
	}
	// What was begun is answered before the next is said: else a "stop" might overtake it.
	whole := context.WithoutCancel(ctx)
	event := "start"
	for {
		if post(whole, event) {
			event = "alive"
		}
		select {
		case <-time.After(aliveEvery):
		case <-ctx.Done():
			for range stopTries {
				if post(whole, "stop") {
					return
				}
				time.Sleep(aliveEvery)
			}
			return
		}
	}
}
