package maia

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

const (
	// DefaultTokenURL serves all regions.
	DefaultTokenURL = "https://id.core.matillion.com/oauth/dpc/token"

	defaultUserAgent = "maia-rotate"
)

// Config is all that a Client needs.
type Config struct {
	Region       string // eu1, us1 or au1: that of the account. Not read if APIURL is set
	APIURL       string // instead of a region: the base below which /v1 lies
	TokenURL     string // "" is DefaultTokenURL
	ClientID     string // of the MAIA API credential (not of a runner), whose role must be Admin or Super Admin
	ClientSecret Secret // of the same
	// nil is a client like http.DefaultClient that reads short headers only. It is copied, and the copy follows no redirects
	HTTPClient *http.Client
	UserAgent  string // "" is maia-rotate
}

// regions that the public API is served in, see "Hosts" in the Maia API reference.
func regions() []string { return []string{"au1", "eu1", "us1"} }

// ConfigError is what New fails with: it names the field of a [Config], what is wrong with it and what is expected.
type ConfigError struct{ Field, Problem string }

// Error implements error.
func (e *ConfigError) Error() string { return "maia: Config." + e.Field + " " + e.Problem }

// New checks cfg and returns a Client; it makes no call. An error is a [*ConfigError].
func New(cfg Config) (*Client, error) {
	apiURL := cfg.APIURL
	if apiURL == "" {
		if !slices.Contains(regions(), cfg.Region) {
			return nil, &ConfigError{"Region", fmt.Sprintf("is %q: expected one of %s, or an API URL instead", cfg.Region,
				strings.Join(regions(), ", "))}
		}
		apiURL = "https://" + cfg.Region + ".api.matillion.com/dpc"
	}
	if err := checkURL(apiURL); err != nil {
		return nil, &ConfigError{"APIURL", err.Error()}
	}
	tokenURL := cfg.TokenURL
	if tokenURL == "" {
		tokenURL = DefaultTokenURL
	}
	if err := checkURL(tokenURL); err != nil {
		return nil, &ConfigError{"TokenURL", err.Error()}
	}
	if problem := tokenProblem(cfg.ClientID); problem != "" {
		return nil, &ConfigError{"ClientID", problem + ": expected the client ID of the MAIA API credential"}
	}
	if problem := tokenProblem(cfg.ClientSecret.Reveal()); problem != "" {
		return nil, &ConfigError{"ClientSecret", problem + ": expected the client secret of the MAIA API credential"}
	}
	userAgent := cfg.UserAgent
	if userAgent == "" {
		userAgent = defaultUserAgent
	}
	if strings.ContainsFunc(userAgent, unicode.IsControl) {
		return nil, &ConfigError{"UserAgent", "contains control characters: expected a single line such as maia-rotate/1.0"}
	}

	httpClient := &http.Client{Transport: defaultTransport()}
	if cfg.HTTPClient != nil {
		copied := *cfg.HTTPClient
		httpClient = &copied
	}
	// A redirect would carry the token, or the API credential itself, to wherever the answer points.
	httpClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	return &Client{
		apiURL:    strings.TrimRight(apiURL, "/"),
		http:      httpClient,
		userAgent: userAgent,
		tokens: &tokenCache{
			url: tokenURL, clientID: cfg.ClientID, clientSecret: cfg.ClientSecret,
			http: httpClient, userAgent: userAgent,
		},
	}, nil
}

// maxHeader is how much of an answer's header is read, in bytes. Of the 10 MB that are usual, millions of short lines would take up most
// of the memory that a function has.
const maxHeader = 64 << 10

// defaultTransport is http.DefaultTransport with a bound, unless a program has put something else in its place.
func defaultTransport() http.RoundTripper {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	transport = transport.Clone()
	transport.MaxResponseHeaderBytes = maxHeader
	return transport
}

// checkURL allows https, and http where nothing leaves the machine. The error does not repeat the URL: one with a user in it contains
// a password.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL: expected https://host/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is not an https URL: expected https://host/path")
	case u.Hostname() == "":
		return errors.New("has no host: expected https://host/path")
	case u.User != nil:
		return errors.New("contains a user: expected https://host/path")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#"):
		return errors.New("has a query or fragment: expected https://host/path")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return fmt.Errorf("is plain http to %s: expected https (http only to a loopback host)", u.Hostname())
	}
	return nil
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
