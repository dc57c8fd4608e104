package azure_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// expressions are all in a value, but for those of nested templates, which are passed on separately.
func expressions(t *testing.T, value any, found func(expression), nested func(map[string]any)) {
	t.Helper()
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			expressions(t, item, found, nested)
		}
	case map[string]any:
		for name, member := range value {
			if inner, ok := member.(map[string]any); ok && name == "template" {
				nested(inner)
				continue
			}
			expressions(t, member, found, nested)
		}
	case string:
		text, ok := expressionOf(value)
		if !ok {
			if strings.HasPrefix(value, "[") || strings.HasSuffix(value, "]") {
				t.Errorf("%q is half an expression", value)
			}
			return
		}
		parsed, err := parse(text)
		if err != nil {
			t.Errorf("%s: %v", value, err)
		}
		parsed.each(found)
	}
}

var apiVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)

// checkTemplate checks what can be read without deploying anything; nested templates too.
func checkTemplate(t *testing.T, name string, document map[string]any, described bool) {
	t.Helper()
	used := map[string]bool{}
	expressions(t, document, func(e expression) {
		if e.call == "parameters" || e.call == "variables" {
			used[e.call+" "+e.args[0].literal.(string)] = true
		}
	}, func(inner map[string]any) { checkTemplate(t, name+", nested", inner, false) })
	declared := map[string]bool{}
	for _, section := range []string{"parameters", "variables"} {
		all, _ := document[section].(map[string]any)
		for one := range all {
			declared[section+" "+one] = true
		}
	}
	for _, one := range slices.Sorted(maps.Keys(declared)) {
		if !used[one] {
			t.Errorf("%s: nothing uses %s", name, one)
		}
	}
	for _, one := range slices.Sorted(maps.Keys(used)) {
		if !declared[one] {
			t.Errorf("%s: there is no %s", name, one)
		}
	}
	parameters, _ := document["parameters"].(map[string]any)
	for one, parameter := range parameters {
		metadata, _ := parameter.(map[string]any)["metadata"].(map[string]any)
		if text, _ := metadata["description"].(string); described && !strings.HasSuffix(text, ".") && !strings.Contains(text, ": az ") {
			t.Errorf("%s: the parameter %s is described as %q", name, one, text)
		}
	}
	for _, one := range document["resources"].([]any) {
		declared := one.(map[string]any)
		if version, _ := declared["apiVersion"].(string); !apiVersion.MatchString(version) {
			t.Errorf("%s: %v has the API version %q", name, declared["type"], version)
		}
	}
}

func TestTheTemplateIsWhole(t *testing.T) {
	var document map[string]any
	readJSON(t, "azuredeploy.json", &document)
	checkTemplate(t, "azuredeploy.json", document, true)
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			loaded := loadTemplate(t, variant.parameters())
			known := map[string]resource{}
			for _, made := range loaded.resources {
				if _, twice := known[made.ID]; twice {
					t.Errorf("%s is there twice", made.ID)
				}
				known[made.ID] = made
			}
			for _, made := range loaded.resources {
				after := dependencies(t, loaded, known, made)
				for _, id := range loaded.referenced[made.ID] {
					if !after[id] {
						t.Errorf("%s asks about %s, which may not be there yet", made.ID, id)
					}
				}
			}
			for id := range loaded.referenced {
				if _, ok := known[id]; !ok && !strings.HasPrefix(id, "output ") {
					t.Errorf("there is no %s", id)
				}
			}
		})
	}
}

// conditional are resources that a template may leave out. Azure then takes them out of the dependencies.
var conditional = []string{"/Microsoft.Insights/actionGroups/"}

// dependencies are all that is made before a resource.
func dependencies(t *testing.T, loaded *template, known map[string]resource, made resource) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for waiting := made.DependsOn; len(waiting) > 0; waiting = waiting[1:] {
		on := []string{waiting[0]}
		if !strings.HasPrefix(waiting[0], "/") {
			on = nil
			for _, one := range loaded.resources {
				if one.Loop == waiting[0] {
					on = append(on, one.ID)
				}
			}
			if !slices.Contains(loaded.loops(), waiting[0]) {
				t.Errorf("%s comes after the copy %s, which is not there", made.ID, waiting[0])
			}
		}
		for _, id := range on {
			if all[id] {
				continue
			}
			before, ok := known[id]
			if !ok && !slices.ContainsFunc(conditional, func(kind string) bool { return strings.Contains(id, kind) }) {
				t.Errorf("%s comes after %s, which is not there", made.ID, id)
			}
			all[id] = true
			waiting = append(waiting, before.DependsOn...)
		}
	}
	return all
}

// loops are the names of the copies.
func (t *template) loops() (names []string) {
	for _, declared := range t.document["resources"].([]any) {
		if copied, ok := declared.(map[string]any)["copy"].(map[string]any); ok {
			names = append(names, copied["name"].(string))
		}
	}
	return names
}

// The parser sees what is not whole.
func TestBrokenExpressions(t *testing.T) {
	for _, text := range []string{"concat('a'", "concat('a',)", "parameters('a'))", "parameters('a').", "variables('a')[0", "'a", "",
		"parameters"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

// The example of parameters is one that the template takes.
func TestTheParametersFile(t *testing.T) {
	var file struct {
		Parameters map[string]struct{ Value any }
	}
	readJSON(t, "azuredeploy.parameters.json", &file)
	given := map[string]any{}
	for name, parameter := range file.Parameters {
		given[name] = parameter.Value
	}
	loaded := loadTemplate(t, given)
	if why := loaded.refused(); len(why) > 0 {
		t.Errorf("refused are %v", why)
	}
	if len(loaded.of("Microsoft.Insights/actionGroups")) != 1 {
		t.Error("nobody is notified of alerts")
	}
}

// refused says which parameters' constraints do not hold.
func (t *template) refused() (why []string) {
	for _, name := range slices.Sorted(maps.Keys(t.parameters)) {
		if !accepts(t.section("parameters")[name].(map[string]any), t.parameters[name]) {
			why = append(why, name)
		}
	}
	return why
}

func TestDefaultsAreAccepted(t *testing.T) {
	for name, variant := range variants {
		if why := loadTemplate(t, variant.parameters()).refused(); len(why) > 0 {
			t.Errorf("%s: the template refuses %v", name, why)
		}
		if why := loadModule(t, variant.variables()).Refused(); len(why) > 0 {
			t.Errorf("%s: the module refuses %v", name, why)
		}
	}
}

func TestWrongParametersAreRefused(t *testing.T) {
	for _, test := range []struct {
		parameter string
		value     any
	}{
		{"name", "mai"},
		{"name", "maia-rotate-of-a-team-somewhere"}, // the function app's would be too long
		{"agentIds", []string{}},
		{"maiaClientId", ""},
		{"secretName", ""},
		{"maiaRegion", "eu2"},
		{"rotateEveryHours", 0},
		{"rotateEveryHours", "720h"},
		{"rotateSoakHours", -1},
		{"drain", "wait"},
		{"drainTimeoutMinutes", 21},
		{"connectTimeoutMinutes", 0},
		{"callEveryMinutes", 60},
		{"instanceMemoryMB", 1024},
		{"maximumInstanceCount", 0},
		{"downtimeSeconds", 1},
		{"maxAgeDays", 0},
		{"silenceHours", 48}, // a rule reads two days back at most
		{"logRetentionDays", 7},
		{"roleName", ""},
		{"tags", []string{"a"}},
	} {
		parameters := plainVariant.parameters()
		parameters[test.parameter] = test.value
		var document map[string]any
		readJSON(t, "azuredeploy.json", &document)
		if accepts(at(t, document, "parameters", test.parameter).(map[string]any), asJSON(t, test.value)) {
			t.Errorf("%s = %v: accepted", test.parameter, test.value)
		}
	}
}

// Whatever is secret is a reference, and no parameter takes a secret.
func TestNoSecrets(t *testing.T) {
	loaded := loadTemplate(t, plainVariant.parameters())
	for name, parameter := range loaded.section("parameters") {
		if kind := parameter.(map[string]any)["type"]; strings.HasPrefix(strings.ToLower(fmt.Sprint(kind)), "secure") {
			t.Errorf("the parameter %s is a secret", name)
		}
	}
	for name, call := range map[string]string{"keys": "listKeys", "credentials": "list"} {
		expressions(t, loaded.document, func(e expression) {
			if strings.HasPrefix(e.call, call) {
				t.Errorf("the template reads %s: %s", name, e.call)
			}
		}, func(map[string]any) {})
	}
	for name, deployed := range both(t, plainVariant) {
		for setting, value := range deployed.settings {
			if strings.Contains(strings.ToLower(setting), "secret") &&
				value != "@Microsoft.KeyVault(SecretUri=https://operations.vault.azure.net/secrets/maia-client-secret)" {
				t.Errorf("%s: %s is %q", name, setting, value)
			}
			if strings.Contains(value, "AccountKey=") || setting == "AzureWebJobsStorage" {
				t.Errorf("%s: %s holds a key", name, setting)
			}
		}
	}
}
