package maia_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// wired returns a client that speaks HTTP over connections in memory, and so in simulated time. Tokens are answered well; what answers
// the calls to the API writes to the connection what it likes, until that is closed.
func wired(t *testing.T, api func(conn net.Conn)) *maia.Client {
	t.Helper()
	var serving sync.WaitGroup
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		serving.Go(func() {
			defer func() { _ = theirs.Close() }()
			for reader := bufio.NewReader(theirs); ; {
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				if !isTokenRequest(request) {
					api(theirs)
					return
				}
				token := `{"access_token":"` + apiToken + `","expires_in":1800}`
				fmt.Fprintf(theirs, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(token), token)
			}
		})
		return ours, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		serving.Wait()
	})
	client, err := maia.New(maia.Config{
		APIURL: "http://127.0.0.1/dpc", TokenURL: "http://127.0.0.1/token", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret),
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const good = `{"clientId":"client","clientSecret":"` + secret + `"}`

// Whoever answers slowly is waited for no longer than the call may take; the outcome of a refresh is unknown then.
func TestHostileDrips(t *testing.T) {
	drip := func(before, forever string) func(net.Conn) {
		return func(conn net.Conn) {
			if _, err := io.WriteString(conn, before); err != nil {
				return
			}
			for i := 0; ; i++ {
				if _, err := io.WriteString(conn, forever[i%len(forever):][:1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}
	}
	for name, api := range map[string]func(net.Conn){
		"a status line": drip("HTTP/1.1 200 ", "O"),
		"headers":       drip("HTTP/1.1 200 OK\r\n", "X-A: "+secret+"\r\n"),
		"early hints":   drip("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
		"a body":        drip("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"+good, " "),
		"chunks":        drip("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
		"a failure":     drip("HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n", secret),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := wired(t, api)
				began := time.Now()
				_, err := client.Credentials(t.Context(), agentID)
				var failed *maia.Error
				if took := time.Since(began); !errors.As(err, &failed) || took > 3*time.Minute {
					t.Errorf("%v after %v", err, took)
				}
				wantNoLeak(t, dump(err), secret, apiToken)
				began = time.Now()
				_, err = client.RefreshCredentials(t.Context(), agentID)
				if took := time.Since(began); took > maia.RefreshTimeout+time.Second {
					t.Errorf("the refresh took %v", took)
				}
				if name == "a failure" {
					wantError(t, err, maia.ErrRejected, "status 400") // its body does not matter
				} else {
					wantError(t, err, maia.ErrOutcomeUnknown)
				}
				wantNoLeak(t, dump(err), secret, apiToken)
			})
		})
	}
}

// listen serves connections with what answers the calls to the API, counts the bytes that it gets rid of, and returns a client as the
// functions have it, with no transport of its own.
func listen(t *testing.T, api func(out io.Writer)) (*maia.Client, *atomic.Int64) {
	t.Helper()
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isTokenRequest(r) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"`+apiToken+`"}`)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.(*net.TCPConn).SetWriteBuffer(64 << 10) // what is there counts as sent
		api(counting{conn, &sent})
	}))
	t.Cleanup(server.Close)
	client, err := maia.New(maia.Config{APIURL: server.URL + "/dpc", TokenURL: server.URL + "/token", ClientID: "api",
		ClientSecret: maia.NewSecret(apiSecret)})
	if err != nil {
		t.Fatal(err)
	}
	return client, &sent
}

type counting struct {
	io.Writer
	sent *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Whoever sends without an end is not listened to for long: not much more is read than an answer may have.
func TestHostileFloods(t *testing.T) {
	const most = 16 << 20 // bytes that anybody here sends
	flood := func(before, forever string) func(io.Writer) {
		return func(out io.Writer) {
			_, err := io.WriteString(out, before)
			for sent := 0; err == nil && sent < most; sent += len(forever) {
				_, err = io.WriteString(out, forever)
			}
		}
	}
	var bomb bytes.Buffer
	writer := gzip.NewWriter(&bomb)
	if _, err := writer.Write(append([]byte(`{"clientId":"client","clientSecret":"`+secret+`","x":"`),
		bytes.Repeat([]byte("x"), most)...)); err != nil || writer.Close() != nil {
		t.Fatal(err)
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	var lines strings.Builder
	for i := range 4096 {
		fmt.Fprintf(&lines, "X-%x: %s\r\n", i, secret)
	}
	for name, test := range map[string]struct {
		api   func(io.Writer)
		reads int64 // at most, in one call, with what is under way in buffers
		says  string
	}{
		"a body": {flood(ok+"\r\n"+good, strings.Repeat(secret, 1000)), 8 << 20, "larger than 1048576 bytes"},
		"chunks": {flood(ok+"Transfer-Encoding: chunked\r\n\r\n", "10000\r\n"+strings.Repeat(" ", 0x10000)+"\r\n"), 8 << 20,
			"larger than 1048576 bytes"},
		"a body of a 400": {flood("HTTP/1.1 400 Bad Request\r\n\r\n", strings.Repeat(secret, 1000)), 8 << 20, "status 400"},
		"a gzip bomb": {flood(ok+fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String()),
			strings.Repeat(" ", 1<<20)), 8 << 20, "larger than 1048576 bytes"},
		"headers":    {flood(ok, lines.String()), 4 << 20, "no complete answer"},
		"one header": {flood(ok+"X: ", strings.Repeat("x", 1000)), 4 << 20, "no complete answer"},
		"early hints": {flood("", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 1000)), 4 << 20,
			"no complete answer"},
		"a status line":    {flood("HTTP/1.1 200 ", strings.Repeat("x", 1000)), 4 << 20, "no complete answer"},
		"chunk extensions": {flood(ok+"Transfer-Encoding: chunked\r\n\r\n1;", strings.Repeat("x", 1000)), 4 << 20, "no complete answer"},
		"trailers": {flood(ok+"Transfer-Encoding: chunked\r\nTrailer: X-0\r\n\r\n"+fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(good),
			good), lines.String()), 4 << 20, "no complete answer"},
		"a length that is a lie": {flood(ok+"Content-Length: 9223372036854775807\r\n\r\n", strings.Repeat(" ", 1000)), 8 << 20,
			"larger than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			client, sent := listen(t, test.api)
			_, err := client.RefreshCredentials(t.Context(), agentID)
			if name == "a body of a 400" {
				wantError(t, err, maia.ErrRejected, test.says)
			} else {
				wantError(t, err, maia.ErrOutcomeUnknown, test.says)
			}
			if read := sent.Load(); read > test.reads {
				t.Errorf("%d bytes were read", read)
			}
			wantNoLeak(t, dump(err), secret, apiToken)
		})
	}
}

// A good answer that is packed is read, and one that is called packed and is not, or ends too soon, is none.
func TestHostileEncodings(t *testing.T) {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := io.WriteString(writer, good); err != nil || writer.Close() != nil {
		t.Fatal(err)
	}
	answer := func(headers, body string) func(io.Writer) {
		return func(out io.Writer) {
			fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n%s\r\n%s", headers, body)
		}
	}
	for name, test := range map[string]struct {
		api  func(io.Writer)
		says string // "" for credentials
	}{
		"packed":               {answer("Content-Encoding: gzip\r\n", packed.String()), ""},
		"packed and cut":       {answer("Content-Encoding: gzip\r\n", packed.String()[:packed.Len()/2]), "no complete answer"},
		"called packed":        {answer("Content-Encoding: gzip\r\n", good), "no complete answer"},
		"shorter than said":    {answer("Content-Length: 1000\r\n", good), "no complete answer"},
		"longer than said":     {answer("Content-Length: 20\r\n", good), "not valid JSON"},
		"two lengths":          {answer("Content-Length: 20\r\nContent-Length: 21\r\n", good), "no complete answer"},
		"no length":            {answer("", good), ""},
		"a negative length":    {answer("Content-Length: -1\r\n", good), "no complete answer"},
		"a chunk that is none": {answer("Transfer-Encoding: chunked\r\n", "zz\r\n"+good), "no complete answer"},
		"no HTTP":              {func(out io.Writer) { _, _ = io.WriteString(out, secret+"\r\n\r\n") }, "no complete answer"},
		"an upgrade": {func(out io.Writer) {
			_, _ = io.WriteString(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"+good)
		}, "status 101"},
		"no content":              {func(out io.Writer) { _, _ = io.WriteString(out, "HTTP/1.1 204 No Content\r\n\r\n") }, "the answer is empty"},
		"a header that is broken": {answer("X\x00: "+secret+"\r\n", good), "no complete answer"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := listen(t, test.api)
			got, err := client.RefreshCredentials(t.Context(), agentID)
			if test.says == "" {
				if err != nil || got.ClientSecret.Reveal() != secret {
					t.Errorf("%v", err)
				}
				return
			}
			wantError(t, err, maia.ErrOutcomeUnknown, test.says)
			wantNoLeak(t, dump(err), secret, apiToken)
		})
	}
}

// What must never get into a store, in addition to what TestBadCredentialsReplies has: what a mask draws, what was garbled on its way, what
// cannot be seen, and what is there twice.
func TestHostileCredentials(t *testing.T) {
	for name, test := range map[string]struct{ body, says string }{
		"a mask of other bullets": {`{"clientId":"client","clientSecret":"●●●●●●●●●●●●"}`,
			"client secret contains characters that are not ASCII"},
		"a mask of middle dots": {`{"clientId":"client","clientSecret":"abcd········wxyz"}`,
			"client secret contains characters that are not ASCII"},
		"bytes that are not UTF-8": {"{\"clientId\":\"client\",\"clientSecret\":\"" + secret + "\xff\"}",
			"client secret contains characters that are not ASCII"},
		"half of a surrogate pair": {`{"clientId":"client","clientSecret":"` + secret + `\ud83d"}`,
			"client secret contains characters that are not ASCII"},
		"a space of no width": {`{"clientId":"client","clientSecret":"` + secret + `\u200b"}`,
			"client secret contains characters that are not ASCII"},
		"a mark of the byte order": {`{"clientId":"client","clientSecret":"\ufeff` + secret + `"}`,
			"client secret contains characters that are not ASCII"},
		"a letter like another": {`{"clientId":"сlient","clientSecret":"` + secret + `"}`,
			"client ID contains characters that are not ASCII"},
		"a delete character": {`{"clientId":"client","clientSecret":"` + secret + `\u007f"}`, "white space or control"},
		"two secrets": {`{"clientId":"client","clientSecret":"` + secret + `","clientSecret":"another-secret"}`,
			"clientSecret is there more than once"},
		"two secrets, in other case": {`{"clientId":"client","clientSecret":"` + secret + `","clientsecret":"another-secret"}`,
			"clientSecret is there more than once"},
		"two secrets, escaped": {`{"clientId":"client","client\u0053ecret":"` + secret + `","clientSecret":"another-secret"}`,
			"clientSecret is there more than once"},
		"two clients": {`{"clientId":"client","clientSecret":"` + secret + `","clientId":"another"}`,
			"clientId is there more than once"},
		"an abyss": {`{"clientId":"client","clientSecret":"` + secret + `","x":` + strings.Repeat("[", 200_000) +
			strings.Repeat("]", 200_000) + `}`, "not valid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return answer(200, test.body), nil }))
			_, err := client.Credentials(t.Context(), agentID)
			wantError(t, err, maia.ErrInvalidReply, test.says)
			_, refreshErr := client.RefreshCredentials(t.Context(), agentID)
			wantError(t, refreshErr, maia.ErrOutcomeUnknown, test.says)
			wantNoLeak(t, dump(err)+dump(refreshErr), secret, "another-secret")
		})
	}
}

// A gateway that quotes what it refuses may put something invisible into it, or it may be a part of where it redirects to.
func TestHostileQuotes(t *testing.T) {
	marks := map[bool]string{false: "[redacted]", true: "[redacted"} // what is cut to length is cut after the secret is
	for name, answered := range map[string]*http.Response{
		"as it is":         answer(400, `{"title":"`+apiToken+`","detail":"Bearer `+apiToken+` of `+apiSecret+`"}`),
		"with a null":      answer(400, `{"title":"`+apiToken[:5]+`\u0000`+apiToken[5:]+`"}`),
		"with a wide gap":  answer(400, `{"detail":"`+apiToken[:5]+`\u200b\u00ad`+apiToken[5:]+` `+apiSecret[:3]+`\u2028`+apiSecret[3:]+`"}`),
		"at the cut":       answer(400, `{"detail":"`+strings.Repeat("x", 190)+apiToken+`"}`),
		"in a host's name": answer(307, "", "Location", "https://"+apiToken+"."+apiSecret+".test/"),
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return answered, nil }))
			err := client.Command(t.Context(), agentID, maia.CommandPause)
			wantError(t, err, nil, marks[name == "at the cut"])
			wantNoLeak(t, dump(err), apiToken, apiSecret)
		})
	}
}

// From a server with TLS to one without: nothing follows, of a call or of a token.
func TestHostileDowngrade(t *testing.T) {
	var elsewhere atomic.Int32
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer plain.Close()
	for _, tokens := range []bool{true, false} {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isTokenRequest(r) && !tokens {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"access_token":"`+apiToken+`"}`)
				return
			}
			w.Header().Set("Refresh", "0; url="+plain.URL)
			http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusPermanentRedirect)
		}))
		client, err := maia.New(maia.Config{APIURL: server.URL + "/dpc", TokenURL: server.URL + "/token", ClientID: "api",
			ClientSecret: maia.NewSecret(apiSecret), HTTPClient: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.RefreshCredentials(t.Context(), agentID)
		wantError(t, err, nil, "redirects are not followed")
		wantNoLeak(t, dump(err), apiToken, apiSecret)
		server.Close()
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went out without TLS", n)
	}
}
