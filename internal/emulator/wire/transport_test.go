package wire_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestTransport(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		if r.URL.Path == "/empty" {
			return
		}
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "not sent")
		_, _ = io.Copy(w, r.Body)
	})
	c := &http.Client{Transport: wire.Transport(h)}
	resp, err := c.Post("http://host.test/path?q", "text/plain", strings.NewReader("text"))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusTeapot || string(got) != "text" || resp.Header.Get("X-Host") != "host.test" ||
		resp.Header.Get("X-Late") != "" {
		t.Errorf("%v, body %q", resp, got)
	}
	if resp, err = c.Get("http://host.test/empty"); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err = c.Post("http://host.test/", "", errorReader{}); err == nil {
		t.Error("an unreadable body was sent")
	}
}

func TestAnAbortedAnswerIsAReset(t *testing.T) {
	c := &http.Client{Transport: wire.Transport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))}
	if _, err := c.Get("http://host.test/"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("err = %v", err)
	}
}

func TestACallerThatGivesUpDoesNotStopTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := false
		c := &http.Client{Timeout: time.Second, Transport: wire.Transport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(time.Minute)
			done = true
		}))}
		began := time.Now()
		if _, err := c.Get("http://host.test/"); err == nil {
			t.Error("no error")
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %s", took)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !done {
			t.Error("the handler was stopped")
		}
	})
}
