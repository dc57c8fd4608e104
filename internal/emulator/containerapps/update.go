package containerapps

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/resourcemanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// update merges a document into the app's, in an operation that takes its time. The lock is held.
func (s *Server) update(request *http.Request, a *app, body []byte) (answer wire.Answer, failed *resourcemanager.Problem) {
	var change map[string]any
	switch err := json.Unmarshal(body, &change); {
	case !isJSON(request):
		return answer, resourcemanager.New(http.StatusUnsupportedMediaType, "UnsupportedMediaType",
			"The content media type is not supported. Only 'application/json' is supported.")
	case err != nil || change == nil:
		return answer, resourcemanager.New(http.StatusBadRequest, "InvalidRequestContent",
			"The request content was invalid and could not be deserialized.")
	}
	switch location, _ := change["location"].(string); {
	case location == "":
		return answer, resourcemanager.New(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
	case place(location) != place(a.document["location"].(string)):
		return answer, resourcemanager.New(http.StatusConflict, "InvalidResourceLocation", "The resource '"+a.document["name"].(string)+
			"' already exists in another location.")
	case a.state == "InProgress":
		return answer, inProgress
	}
	secrets, given, failed := takeSecrets(change)
	if failed != nil {
		return answer, failed
	}
	if properties, _ := change["properties"].(map[string]any); properties["template"] != nil {
		return answer, resourcemanager.New(http.StatusBadRequest, "NotEmulated",
			"A change of the template would make a new revision, which is not emulated.")
	}
	s.changing(a, true)
	delete(change, "location")
	merge(a.document, change)
	dropped := given && slices.ContainsFunc(a.secrets, func(old Secret) bool {
		return a.uses(old.Name) && !slices.ContainsFunc(secrets, func(now Secret) bool { return now.Name == old.Name })
	})
	took, end := s.options.Provision, "Succeeded"
	switch {
	case dropped:
		took, end = s.options.Hang, "Failed"
	case a.fails > 0:
		a.fails--
		end = "Failed"
	}
	a.modified, a.modifier, a.state = time.Now(), "a client", "InProgress"
	time.AfterFunc(took, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changing(a, false)
		if a.state = end; given && (end == "Succeeded" || s.options.FailLate && !dropped) {
			a.secrets = secrets
		}
	})
	path := strings.Split(a.id, "/")
	operation := "https://" + request.Host + "/subscriptions/" + path[2] + "/providers/Microsoft.App/locations/" +
		place(a.document["location"].(string)) +
		"/containerappOperationResults/" + wire.NewID() + "?api-version=" + request.URL.Query().Get("api-version")
	return wire.Answer{Status: http.StatusAccepted, Header: http.Header{"Location": {operation}, "Retry-After": {"15"}}}, nil
}

// place is a location in one spelling: a GET may say "West Europe".
func place(location string) string { return strings.ToLower(strings.ReplaceAll(location, " ", "")) }

var secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// takeSecrets takes the secrets out of a change.
func takeSecrets(change map[string]any) (secrets []Secret, given bool, failed *resourcemanager.Problem) {
	properties, _ := change["properties"].(map[string]any)
	configuration, _ := properties["configuration"].(map[string]any)
	list, given := configuration["secrets"]
	if !given {
		return nil, false, nil
	}
	delete(configuration, "secrets")
	text, _ := json.Marshal(list)
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, true, resourcemanager.New(http.StatusBadRequest, "InvalidRequestContent", "The secrets are no array of objects.")
	}
	invalid := func(message string) *resourcemanager.Problem {
		return resourcemanager.New(http.StatusBadRequest, "ContainerAppSecretInvalid", "Invalid Request: Container app secret(s) with name(s) "+
			message)
	}
	names := map[string]bool{}
	for _, secret := range secrets {
		quoted := "'" + secret.Name + "'"
		switch {
		case !secretName.MatchString(secret.Name):
			return nil, true, invalid(quoted + " are invalid: a name consists of lower case alphanumeric characters, '-' or '.'.")
		case names[secret.Name]:
			return nil, true, invalid(quoted + " are duplicated.")
		case secret.KeyVaultURL == "" && secret.Value == "":
			return nil, true, invalid(quoted + " are invalid: value or keyVaultUrl and identity should be provided.")
		case secret.KeyVaultURL != "" && secret.Value != "":
			return nil, true, invalid(quoted + " are invalid: value and keyVaultUrl can not both be provided.")
		case secret.KeyVaultURL != "" && secret.Identity == "":
			return nil, true, invalid(quoted + " are invalid: identity is required with keyVaultUrl.")
		}
		names[secret.Name] = true
	}
	return secrets, true, nil
}

// merge carries out a JSON merge patch.
func merge(into, change map[string]any) {
	for name, value := range change {
		nested, isObject := value.(map[string]any)
		was, wasObject := into[name].(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isObject && wasObject:
			merge(was, nested)
		default:
			into[name] = value
		}
	}
}
