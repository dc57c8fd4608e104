package secretsmanager

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type listInput struct {
	Filters                []filter
	IncludePlannedDeletion bool // none is ever planned
	MaxResults             *int
	NextToken              string
	SortBy                 *string
	SortOrder              *string
}

type listOutput struct {
	SecretList []listedSecret
	NextToken  string `json:",omitempty"`
}

type listedSecret struct {
	metadata
	SecretVersionsToStages map[string][]string `json:",omitempty"`
}

func (s *Server) listSecrets(in *listInput) (*listOutput, error) {
	page := 100
	if in.MaxResults != nil {
		page = *in.MaxResults
	}
	if page < 1 || page > 100 {
		return nil, awsjson.Invalid("at 'maxResults'", "be between 1 and 100")
	}
	if len(in.Filters) > maxFilters {
		return nil, awsjson.Invalid("at 'filters'", fmt.Sprint("have length less than or equal to ", maxFilters))
	}
	for i, f := range in.Filters {
		if err := f.check(i + 1); err != nil {
			return nil, err
		}
	}
	order, err := in.order()
	if err != nil {
		return nil, err
	}
	start := 0
	if in.NextToken != "" {
		if start, err = strconv.Atoi(in.NextToken); err != nil || start < 1 {
			return nil, awsjson.Errorf("InvalidNextTokenException", "The NextToken value is invalid.")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*secret
	for _, sec := range slices.SortedFunc(maps.Values(s.secrets), order) {
		if !slices.ContainsFunc(in.Filters, func(f filter) bool { return !f.matches(sec) }) {
			found = append(found, sec)
		}
	}
	end := min(start+page, len(found))
	out := &listOutput{SecretList: []listedSecret{}}
	for _, sec := range found[min(start, end):end] {
		out.SecretList = append(out.SecretList, listedSecret{sec.metadata(), sec.stagesByVersion()})
	}
	if end < len(found) {
		out.NextToken = strconv.Itoa(end)
	}
	return out, nil
}

// order returns how the secrets are to be sorted: by their creation if nothing else is asked for, the oldest first.
func (in *listInput) order() (func(a, b *secret) int, error) {
	by := map[string]func(a, b *secret) int{
		"created-date":      func(a, b *secret) int { return a.created.Compare(b.created) },
		"last-changed-date": func(a, b *secret) int { return a.changed.Compare(b.changed) },
		"name":              func(a, b *secret) int { return strings.Compare(a.name, b.name) },
		// Nobody keeps account of accesses: all are the same.
		"last-accessed-date": func(a, b *secret) int { return 0 },
	}
	key, direction := "created-date", "asc"
	if in.SortBy != nil {
		key = *in.SortBy
	}
	if in.SortOrder != nil {
		direction = *in.SortOrder
	}
	compare, known := by[key]
	if !known {
		return nil, awsjson.Invalid("'"+key+"' at 'sortBy'",
			"satisfy enum value set: [created-date, last-accessed-date, last-changed-date, name]")
	}
	sign := 1
	switch direction {
	case "asc":
	case "desc":
		sign = -1
	default:
		return nil, awsjson.Invalid("'"+direction+"' at 'sortOrder'", "satisfy enum value set: [asc, desc]")
	}
	return func(a, b *secret) int { return sign * cmp.Or(compare(a, b), strings.Compare(a.name, b.name)) }, nil
}

const (
	maxFilters      = 10
	maxFilterValues = 10
)

// filter takes the secrets of which an attribute begins with one of the values,
// and none of which one begins with a value after "!".
type filter struct {
	Key    string
	Values []string
}

var (
	filterKeys  = []string{"description", "name", "tag-key", "tag-value", "primary-region", "owning-service", "all"}
	filterValue = regexp.MustCompile(`^!?[a-zA-Z0-9 :_@/+=.!-]{0,512}$`)
)

func (f filter) check(n int) error {
	invalid := func(member, constraint string) error {
		return awsjson.Invalid(fmt.Sprintf("at 'filters.%d.member.%s'", n, member), constraint)
	}
	if f.Key == "" {
		return awsjson.Errorf("InvalidParameterException", "You must specify a filter key.")
	}
	if !slices.Contains(filterKeys, f.Key) {
		return invalid("key", "satisfy enum value set: ["+strings.Join(filterKeys, ", ")+"]")
	}
	if len(f.Values) < 1 || len(f.Values) > maxFilterValues {
		return invalid("values", "have length between 1 and "+strconv.Itoa(maxFilterValues))
	}
	for _, v := range f.Values {
		if !filterValue.MatchString(v) || len(v) > 512 {
			return invalid("values",
				"have length less than or equal to 512 and satisfy regular expression pattern: ^\\!?[a-zA-Z0-9 :_@\\/\\+\\=\\.\\-\\!]*$")
		}
	}
	return nil
}

func (f filter) matches(s *secret) bool {
	wanted, positive := false, false
	for _, v := range f.Values {
		without, negated := strings.CutPrefix(v, "!")
		matches := s.hasAttribute(f.Key, without)
		if negated && matches {
			return false
		}
		if !negated {
			positive, wanted = true, wanted || matches
		}
	}
	return wanted || !positive
}

// hasAttribute reports whether the attribute begins with the text. There are no
// tags, no replicas and no secrets of other services here.
func (s *secret) hasAttribute(key, text string) bool {
	switch key {
	case "name":
		return strings.HasPrefix(s.name, text)
	case "description":
		return strings.HasPrefix(strings.ToLower(s.description), strings.ToLower(text))
	case "all":
		have := append(words(s.name), words(s.description)...)
		return slices.ContainsFunc(words(text), func(w string) bool { return slices.Contains(have, w) })
	}
	return false
}

// words splits a text into words without their case: at everything that is no letter or digit, between letters and digits, and
// before a capital letter that follows a small one.
func words(text string) (all []string) {
	var word []rune
	end := func() {
		if len(word) > 0 {
			all = append(all, strings.ToLower(string(word)))
		}
		word = nil
	}
	for _, r := range text {
		letter, digit := unicode.IsLetter(r), unicode.IsDigit(r)
		if len(word) > 0 {
			last := word[len(word)-1]
			if unicode.IsDigit(last) != digit || unicode.IsLower(last) && unicode.IsUpper(r) {
				end()
			}
		}
		if !letter && !digit {
			end()
			continue
		}
		word = append(word, r)
	}
	end()
	return all
}
