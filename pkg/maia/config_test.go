package maia_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*maia.Config)
		want   string
	}{
		{"no region", func(c *maia.Config) { c.Region = "" }, `Config.Region is "": expected one of au1, eu1, us1`},
		{"unknown region", func(c *maia.Config) { c.Region = "EU1" }, `Config.Region is "EU1"`},
		{"plain http", func(c *maia.Config) { c.APIURL = "http://api.test/dpc" }, "Config.APIURL is plain http to api.test: expected https"},
		{"plain http to a name like localhost", func(c *maia.Config) { c.APIURL = "http://localhost.test" }, "plain http"},
		{"token over plain http", func(c *maia.Config) { c.TokenURL = "http://10.0.0.1/t" }, "Config.TokenURL is plain http"},
		{"scheme", func(c *maia.Config) { c.APIURL = "ftp://api.test" }, "is not an https URL"},
		{"no scheme", func(c *maia.Config) { c.APIURL = "api.test/dpc" }, "is not an https URL"},
		{"not a URL", func(c *maia.Config) { c.APIURL = "https://api.test/%zz" }, "is not a URL"},
		{"no host", func(c *maia.Config) { c.APIURL = "https:///dpc" }, "has no host"},
		{"user", func(c *maia.Config) { c.APIURL = "https://u:" + secret + "@api.test" }, "contains a user"},
		{"query", func(c *maia.Config) { c.APIURL = "https://api.test/?a=b" }, "has a query or fragment"},
		{"empty query", func(c *maia.Config) { c.APIURL = "https://api.test/?" }, "has a query or fragment"},
		{"fragment", func(c *maia.Config) { c.TokenURL = "https://api.test/#x" }, "has a query or fragment"},
		{"empty fragment", func(c *maia.Config) { c.TokenURL = "https://api.test/#" }, "has a query or fragment"},
		{"no client ID", func(c *maia.Config) { c.ClientID = "" }, "Config.ClientID is empty: expected the client ID of the MAIA API credential"},
		{"client ID", func(c *maia.Config) { c.ClientID = "api " }, "Config.ClientID contains white space"},
		{"no secret", func(c *maia.Config) { c.ClientSecret = maia.Secret{} }, "Config.ClientSecret is empty"},
		{"secret with line feed", func(c *maia.Config) { c.ClientSecret = maia.NewSecret(secret + "\n") },
			"Config.ClientSecret contains white space"},
		{"user agent", func(c *maia.Config) { c.UserAgent = "a\r\nb" }, "Config.UserAgent contains control characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := maia.Config{Region: "eu1", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret)}
			tt.change(&cfg)
			_, err := maia.New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "maia: Config.") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes a secret: %v", err)
			}
		})
	}
}

func TestNewURLs(t *testing.T) {
	for _, tt := range []struct{ region, api, token, wantAPI, wantToken string }{
		{"eu1", "", "", "https://eu1.api.matillion.com/dpc/v1/agents", maia.DefaultTokenURL},
		{"us1", "", "", "https://us1.api.matillion.com/dpc/v1/agents", maia.DefaultTokenURL},
		{"au1", "", "", "https://au1.api.matillion.com/dpc/v1/agents", maia.DefaultTokenURL},
		{"", "https://api.test/base/", "", "https://api.test/base/v1/agents", maia.DefaultTokenURL},
		{"mars", "http://127.0.0.1:8080", "http://[::1]:9/token", "http://127.0.0.1:8080/v1/agents", "http://[::1]:9/token"},
		{"", "http://localhost:8080/dpc", "http://127.1.2.3/token", "http://localhost:8080/dpc/v1/agents", "http://127.1.2.3/token"},
	} {
		var urls []string
		transport := withRecordedURLs(&urls)
		client, err := maia.New(maia.Config{Region: tt.region, APIURL: tt.api, TokenURL: tt.token, ClientID: "api",
			ClientSecret: maia.NewSecret(apiSecret), HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Agents(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(urls) != 2 || urls[0] != tt.wantToken || urls[1] != tt.wantAPI+"?page=0" {
			t.Errorf("%+v: called %v", tt, urls)
		}
	}
}

func withRecordedURLs(urls *[]string) roundTrip {
	inner := withToken(func(*http.Request) (*http.Response, error) { return answer(200, `{"results":[]}`), nil })
	return func(r *http.Request) (*http.Response, error) {
		*urls = append(*urls, r.URL.String())
		return inner(r)
	}
}

func TestNewWithoutHTTPClient(t *testing.T) {
	if _, err := maia.New(maia.Config{Region: "eu1", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret)}); err != nil {
		t.Error(err)
	}
}

// The caller's client keeps following redirects; only the copy does not.
func TestNewCopiesHTTPClient(t *testing.T) {
	mine := &http.Client{}
	if _, err := maia.New(maia.Config{Region: "eu1", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret), HTTPClient: mine}); err != nil {
		t.Fatal(err)
	}
	if mine.CheckRedirect != nil {
		t.Error("the caller's http.Client was changed")
	}
}

func TestHeaders(t *testing.T) {
	for agent, want := range map[string]string{"": "maia-rotate", "maia-rotate/1.2": "maia-rotate/1.2"} {
		n := 0
		transport := withToken(func(*http.Request) (*http.Response, error) { return answer(200, `{"results":[]}`), nil })
		client, err := maia.New(maia.Config{Region: "eu1", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret), UserAgent: agent,
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				n++
				if r.Header.Get("User-Agent") != want || r.Header.Get("Accept") != "application/json" {
					t.Errorf("%s: headers %v", r.URL, r.Header)
				}
				if got := r.Header.Get("Authorization"); isTokenRequest(r) != (got == "") || got != "" && got != "Bearer "+apiToken {
					t.Errorf("%s: Authorization %q", r.URL, got)
				}
				return transport(r)
			})}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Agents(t.Context()); err != nil || n != 2 {
			t.Errorf("%d requests, %v", n, err)
		}
	}
}
