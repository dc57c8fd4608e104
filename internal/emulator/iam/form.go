package iam

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// form is the parameters of a request. Those that were never asked for are unknown in the end; see [form.rest].
type form struct {
	values url.Values
	asked  map[string]bool
}

func newForm(values url.Values) form { return form{values, map[string]bool{}} }

func (f form) value(name string) string {
	f.asked[name] = true
	return f.values.Get(name)
}

// number returns a number within bounds, or otherwise if there is none.
func (f form) number(name string, otherwise, from, to int) (int, error) {
	text := f.value(name)
	if !f.values.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < from || n > to {
		return 0, validation(name, "Member must be a number between %d and %d", from, to)
	}
	return n, nil
}

var listItem = regexp.MustCompile(`^\.member\.([1-9][0-9]*)(?:\.|$)`)

// list returns the prefixes of a list's items, "{name}.member.1" and so on. An empty list is sent as "{name}=".
func (f form) list(name string) ([]string, error) {
	if f.value(name) != "" {
		return nil, validation(name, "Member must be a list")
	}
	numbers := map[int]bool{}
	for key := range f.values {
		if rest, ok := strings.CutPrefix(key, name); ok {
			if m := listItem.FindStringSubmatch(rest); m != nil {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					return nil, validation(name, "Member must be a list")
				}
				numbers[n] = true
			}
		}
	}
	var items []string
	for i, n := range slices.Sorted(maps.Keys(numbers)) {
		if n != i+1 {
			return nil, validation(name, "Member %d is missing", i+1)
		}
		items = append(items, name+".member."+strconv.Itoa(n))
	}
	return items, nil
}

// texts returns a list of strings of a length between the bounds.
func (f form) texts(name string, from, to int) ([]string, error) {
	items, err := f.list(name)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, item := range items {
		v := f.value(item)
		if len(v) < from || len(v) > to {
			return nil, validation(item, "Member must have length between %d and %d", from, to)
		}
		all = append(all, v)
	}
	return all, nil
}

// rest refuses the parameters that no one asked for, and those given twice.
func (f form) rest() error {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !f.asked[name] {
			return validation(name, "the parameter is unknown, or not emulated")
		}
		if len(f.values[name]) > 1 {
			return validation(name, "the parameter is there twice")
		}
	}
	return nil
}
