// Command handler is the custom handler of the tests: the environment says how it starts, and the invocation's body what it
// does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

type echo struct {
	PID      int
	Env      []string
	Dir      string
	Path     string
	Header   http.Header
	Encoding []string
	Length   int64
	Body     string
}

var waiting = make(chan struct{})

func main() {
	switch os.Getenv("START") {
	case "exit":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour) // for ever, but the runtime would see that of a select
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("START") == "unwell" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("POST /Fn", serve)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"), nil))
	os.Exit(1)
}

var failures atomic.Int32

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var order struct {
		Do, Type, Answer string
		Code             int
	}
	_ = json.Unmarshal(body, &order) // that of a timer orders nothing
	if order.Type == "" {
		order.Type = "application/json"
	}
	w.Header().Set("Content-Type", order.Type)
	switch order.Do {
	case "":
		if fail := os.Getenv("FAIL"); fail != "" && int(failures.Add(1)) <= len(fail) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		dir, _ := os.Getwd()
		text, _ := json.Marshal(echo{os.Getpid(), os.Environ(), dir, r.URL.Path, r.Header, r.TransferEncoding, r.ContentLength, string(body)})
		answer, _ := json.Marshal(map[string]any{"Outputs": map[string]any{}, "Logs": []string{string(text)}, "ReturnValue": nil})
		_, _ = w.Write(answer)
	case "answer":
		w.WriteHeader(order.Code)
		_, _ = io.WriteString(w, order.Answer)
	case "print":
		fmt.Fprintln(os.Stdout, "to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
		_, _ = io.WriteString(w, "{}")
	case "exit":
		os.Exit(order.Code)
	case "hang":
		fmt.Println("hanging")
		<-r.Context().Done() // the host is gone, or the process is killed
		select {}
	case "wait":
		<-waiting
		_, _ = io.WriteString(w, "{}")
	case "go on":
		close(waiting)
		_, _ = io.WriteString(w, strings.Repeat(" ", 3)+"{}")
	}
}
