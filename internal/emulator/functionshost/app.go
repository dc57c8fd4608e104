package functionshost

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// app is what the folder of an app says.
type app struct {
	executable string
	timeout    time.Duration
	functions  map[string]function
}

type function struct {
	binding    string // name of the timer
	retries    int
	retryDelay time.Duration
}

// readApp reads the folder as the host does when it starts.
func readApp(folder string, settings map[string]string) (app, error) {
	var document struct {
		Version         string
		FunctionTimeout string
		CustomHandler   struct {
			Description struct{ DefaultExecutablePath string }
		}
	}
	if err := readJSON(filepath.Join(folder, "host.json"), &document); err != nil {
		return app{}, err
	}
	if document.Version != "2.0" {
		return app{}, fmt.Errorf("functionshost: host.json has the version %q, expected 2.0", document.Version)
	}
	read := app{timeout: 30 * time.Minute, functions: map[string]function{}}
	if text := document.FunctionTimeout; text != "" {
		var err error
		if read.timeout, err = parseSpan(text); err != nil || read.timeout <= 0 {
			return app{}, fmt.Errorf("functionshost: functionTimeout in host.json is %q, expected hh:mm:ss", text)
		}
	}
	path := document.CustomHandler.Description.DefaultExecutablePath
	if path == "" {
		return app{}, errors.New("functionshost: host.json has no customHandler.description.defaultExecutablePath")
	}
	read.executable = filepath.Join(folder, path)
	switch info, err := os.Stat(read.executable); {
	case err != nil:
		return app{}, fmt.Errorf("functionshost: the handler: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return app{}, fmt.Errorf("functionshost: the handler %s cannot be executed: its mode is %v", path, info.Mode())
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "function.json"))
	if err != nil {
		return app{}, err
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		if read.functions[name], err = readFunction(file, settings); err != nil {
			return app{}, fmt.Errorf("functionshost: function %s: %w", name, err)
		}
	}
	if len(read.functions) == 0 {
		return app{}, errors.New("functionshost: no job functions found")
	}
	return read, nil
}

func readFunction(file string, settings map[string]string) (function, error) {
	var document struct {
		Bindings []struct{ Type, Direction, Name, Schedule string }
		Retry    *struct {
			Strategy      string
			MaxRetryCount int
			DelayInterval string
		}
	}
	if err := readJSON(file, &document); err != nil {
		return function{}, err
	}
	if len(document.Bindings) != 1 || document.Bindings[0].Type != "timerTrigger" || document.Bindings[0].Direction != "in" ||
		document.Bindings[0].Name == "" {
		return function{}, errors.New("its bindings are not one timerTrigger with a name")
	}
	timer := document.Bindings[0]
	schedule, err := resolve(timer.Schedule, settings)
	if err != nil {
		return function{}, err
	}
	if !ncrontab.MatchString(schedule) {
		return function{}, fmt.Errorf("the schedule %q is no NCRONTAB expression of six fields", schedule)
	}
	read := function{binding: timer.Name}
	if retry := document.Retry; retry != nil {
		if retry.Strategy != "fixedDelay" || retry.MaxRetryCount < 1 {
			return function{}, errors.New("its retry policy is not of the strategy fixedDelay with a maxRetryCount")
		}
		read.retries = retry.MaxRetryCount
		if read.retryDelay, err = parseSpan(retry.DelayInterval); err != nil {
			return function{}, fmt.Errorf("the delayInterval of its retry policy is %q, expected hh:mm:ss", retry.DelayInterval)
		}
	}
	return read, nil
}

var (
	ncrontab = regexp.MustCompile(`^[0-9A-Za-z*/,-]+( +[0-9A-Za-z*/,-]+){5}$`)
	setting  = regexp.MustCompile(`^%([^%]+)%$`)
	span     = regexp.MustCompile(`^(\d+):(\d\d):(\d\d)$`)
)

// resolve replaces the name of an app setting by its value.
func resolve(text string, settings map[string]string) (string, error) {
	named := setting.FindStringSubmatch(text)
	if named == nil {
		return text, nil
	}
	value, ok := settings[named[1]]
	if !ok {
		return "", fmt.Errorf("'%s' does not resolve to a value", text)
	}
	return value, nil
}

// parseSpan reads a duration as .NET writes it, without days and fractions.
func parseSpan(text string) (time.Duration, error) {
	parts := span.FindStringSubmatch(text)
	if parts == nil {
		return 0, errors.New("not hh:mm:ss")
	}
	return time.ParseDuration(parts[1] + "h" + parts[2] + "m" + parts[3] + "s")
}

func readJSON(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("functionshost: %w", err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("functionshost: %s: %w", filepath.Base(file), err)
	}
	return nil
}

// readSettings makes a map of settings in the form NAME=value.
func readSettings(list []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, each := range list {
		name, value, ok := strings.Cut(each, "=")
		if !ok || name == "" || strings.HasPrefix(name, "FUNCTIONS_CUSTOMHANDLER_") {
			return nil, fmt.Errorf("functionshost: %q is no name of an app setting", name)
		}
		settings[name] = value
	}
	return settings, nil
}
