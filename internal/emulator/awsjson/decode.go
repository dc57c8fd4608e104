package awsjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decode reads a request. encoding/json alone would let a misspelled or unknown member through.
func decode(raw []byte, in any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return &Error{Code: "SerializationException", Message: "Start of structure or map found where not expected."}
	}
	if err := json.Unmarshal(raw, in); err != nil {
		// Not the decoder's own words: they may quote a value.
		return &Error{Code: "SerializationException", Message: "the request is no JSON, or a member has another type than the operation expects"}
	}
	if path := unknown(raw, reflect.TypeOf(in), ""); path != "" {
		return Errorf("ValidationException", "1 validation error detected: unknown member %s", path)
	}
	return nil
}

// unknown returns the path of the first member in raw that t does not have, or "". Raw is known to fit t.
func unknown(raw []byte, t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Pointer:
		return unknown(raw, t.Elem(), path)
	case reflect.Slice:
		var items []json.RawMessage
		if t.Elem().Kind() == reflect.Uint8 || json.Unmarshal(raw, &items) != nil {
			return ""
		}
		for i, item := range items {
			if p := unknown(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); p != "" {
				return p
			}
		}
	case reflect.Struct:
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return ""
		}
		known := map[string]reflect.Type{}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" {
				name = f.Name
			}
			known[name] = f.Type
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			ft, ok := known[name]
			if !ok {
				return strings.TrimPrefix(path+"."+name, ".")
			}
			if p := unknown(members[name], ft, path+"."+name); p != "" {
				return p
			}
		}
	}
	return ""
}

// resource returns the first of the members that the request has: a string, or the first of a list.
func resource(raw []byte, members []string) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return ""
	}
	for _, name := range members {
		var one string
		var list []string
		switch {
		case json.Unmarshal(all[name], &one) == nil && one != "":
			return one
		case json.Unmarshal(all[name], &list) == nil && len(list) > 0:
			return list[0]
		}
	}
	return ""
}

// Time is a time as the protocol writes it: seconds since 1970, with milliseconds as the fraction.
type Time time.Time

// MarshalJSON writes the number.
func (t Time) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(t).UnixMilli())/1e3, 'f', -1, 64), nil
}

// TimeOf returns t for an answer, or nil (an absent member) if t is zero.
func TimeOf(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return (*Time)(&t)
}
