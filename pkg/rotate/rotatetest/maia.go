package rotatetest

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// client is a client of Maia whose calls go over the process's wire, or, without a process, straight to the fake. Its
// access tokens are remembered, so that they can be searched for.
func (w *world) client(p *Process) *maia.Client {
	transport := w.maia.Transport()
	if p != nil {
		transport = p.Transport(transport, nameOfMaia)
	}
	id, secret := w.maia.APICredential()
	client, err := maia.New(maia.Config{
		APIURL: maiatest.APIURL("https://maia.test"), TokenURL: maiatest.TokenURL("https://maia.test"),
		ClientID: id, ClientSecret: maia.NewSecret(secret),
		HTTPClient: &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			if token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); ok {
				w.keepSecret(token)
			}
			return transport.RoundTrip(nameable(request))
		})},
	})
	if err != nil {
		panic(err) // the values above
	}
	return client
}

// nameable is the request in a form from which can be seen which command it is. Only the body of a command is touched:
// whether that of a refresh was sent is what the client decides the outcome by.
func nameable(request *http.Request) *http.Request {
	if request.Body == nil || !strings.HasSuffix(request.URL.Path, "/commands") {
		return request
	}
	body, _ := io.ReadAll(request.Body)
	_ = request.Body.Close()
	named := request.Clone(request.Context())
	named.Body = io.NopCloser(bytes.NewReader(body))
	named.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return named
}

// nameOfMaia names a request to Maia as maiatest does.
func nameOfMaia(request *http.Request) string {
	post := request.Method == http.MethodPost
	name := maiatest.Unknown
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/token"):
		name = maiatest.Token
	case strings.HasSuffix(path, "/credentials") && post:
		name = maiatest.RefreshCredentials
	case strings.HasSuffix(path, "/credentials"):
		name = maiatest.GetCredentials
	case strings.HasSuffix(path, "/commands") && request.GetBody != nil:
		reader, _ := request.GetBody()
		body, _ := io.ReadAll(reader)
		for _, command := range []maiatest.Name{maiatest.Pause, maiatest.Resume, maiatest.Restart} {
			if bytes.Contains(body, []byte(`"`+strings.ToUpper(string(command))+`"`)) {
				name = command
			}
		}
	case strings.HasSuffix(path, "/agents"):
		name = maiatest.ListAgents
	case strings.Contains(path, "/agents/"):
		name = maiatest.GetAgent
	}
	return maiaPrefix + string(name)
}
