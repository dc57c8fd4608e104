package lambdaapi

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// Function is a function's configuration.
type Function struct {
	Name          string
	Runtime       string            // "provided.al2023" if empty
	Architectures []string          // x86_64 if empty
	Handler       string            // "bootstrap" if empty
	Role          string            // ARN of the execution role
	Timeout       int               // in seconds; 3 if zero
	MemorySize    int               // in MB; 128 if zero
	Environment   map[string]string // variables
	LogFormat     string            // "Text" or "JSON"; Text if empty
	KMSKeyArn     string            // of a key of one's own
	VPC           bool              // whether it is attached to a VPC

	State            string // "Active" if empty
	LastUpdateStatus string // "Successful" if empty

	ReservedConcurrency *int   // nil if none is reserved
	Policy              string // resource policy (JSON); none if empty

	// Aliases are the aliases and published versions that a qualifier may name, each with the resource policy of its own, or "".
	// They have the function's configuration.
	Aliases map[string]string

	modified time.Time
	revision string
}

// AddFunction adds a function and returns its ARN. It panics if Lambda would refuse the function.
func (s *Server) AddFunction(f Function) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.functions[f.Name] != nil {
		panic("lambdaapi: function " + f.Name + " already exists")
	}
	s.put(f)
	return s.arn(reference{account: s.options.Account, name: f.Name})
}

// UpdateFunction changes a function; change gets a copy. It panics if there is
// no function of that name, or if Lambda would refuse what it becomes.
func (s *Server) UpdateFunction(name string, change func(*Function)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.functions[name]
	if old == nil {
		panic("lambdaapi: no function " + name)
	}
	f := old.clone()
	change(&f)
	if f.Name != name {
		panic("lambdaapi: a function keeps its name")
	}
	s.put(f)
}

// put stores a function. The caller holds the lock.
func (s *Server) put(f Function) {
	f = f.clone()
	f.setDefaults()
	if err := f.check(); err != nil {
		panic(fmt.Sprintf("lambdaapi: function %s: %v", f.Name, err))
	}
	f.modified, f.revision = time.Now(), awsjson.NewID()
	s.functions[f.Name] = &f
}

func (f Function) clone() Function {
	f.Architectures = slices.Clone(f.Architectures)
	f.Environment = maps.Clone(f.Environment)
	f.Aliases = maps.Clone(f.Aliases)
	if n := f.ReservedConcurrency; n != nil {
		f.ReservedConcurrency = new(*n)
	}
	return f
}

func (f *Function) setDefaults() {
	set := func(member *string, value string) {
		if *member == "" {
			*member = value
		}
	}
	set(&f.Runtime, "provided.al2023")
	set(&f.Handler, "bootstrap")
	set(&f.LogFormat, "Text")
	set(&f.State, "Active")
	set(&f.LastUpdateStatus, "Successful")
	if f.Architectures == nil {
		f.Architectures = []string{"x86_64"}
	}
	if f.Timeout == 0 {
		f.Timeout = 3
	}
	if f.MemorySize == 0 {
		f.MemorySize = 128
	}
}

func (f *Function) has(qualifier string) bool {
	_, ok := f.Aliases[qualifier]
	return ok
}

var (
	validName     = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	validRole     = regexp.MustCompile(`^arn:aws[a-zA-Z-]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+$`)
	validKey      = regexp.MustCompile(`^arn:aws[a-zA-Z-]*:kms:[a-z0-9-]+:\d{12}:.+$`)
	validVariable = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)
)

// maxEnvironment is the size of all variables together, in bytes.
const maxEnvironment = 4096

func (f *Function) check() error {
	one := func(what, value string, of ...string) error {
		if slices.Contains(of, value) {
			return nil
		}
		return fmt.Errorf("%s %q is none of %s", what, value, strings.Join(of, ", "))
	}
	var architecture string
	if len(f.Architectures) == 1 {
		architecture = f.Architectures[0]
	}
	errs := []error{
		one("State", f.State, "Pending", "Active", "Inactive", "Failed", "Deactivating", "Deactivated", "ActiveNonInvocable", "Deleting"),
		one("LastUpdateStatus", f.LastUpdateStatus, "Successful", "Failed", "InProgress"),
		one("LogFormat", f.LogFormat, "Text", "JSON"),
		one("Architecture", architecture, "x86_64", "arm64"),
		f.checkEnvironment(),
		checkPolicy(f.Policy),
	}
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!validName.MatchString(f.Name), "the name is invalid")
	refuse(!validRole.MatchString(f.Role), "Role %q is not the ARN of a role", f.Role)
	refuse(f.Timeout < 1 || f.Timeout > 900, "Timeout %d is not between 1 and 900", f.Timeout)
	refuse(f.MemorySize < 128 || f.MemorySize > 10240, "MemorySize %d is not between 128 and 10240", f.MemorySize)
	refuse(f.KMSKeyArn != "" && !validKey.MatchString(f.KMSKeyArn), "KMSKeyArn %q is not the ARN of a key", f.KMSKeyArn)
	refuse(f.ReservedConcurrency != nil && *f.ReservedConcurrency < 0, "ReservedConcurrency is negative")
	for alias, policy := range f.Aliases {
		refuse(alias == latest || !qualifierPattern.MatchString(alias), "alias %q is invalid", alias)
		errs = append(errs, checkPolicy(policy))
	}
	return errors.Join(errs...)
}

func (f *Function) checkEnvironment() error {
	size := 0
	for name, value := range f.Environment {
		if !validVariable.MatchString(name) {
			return fmt.Errorf("variable %q is invalid", name)
		}
		size += len(name) + len(value)
	}
	if size > maxEnvironment {
		return fmt.Errorf("the variables have %d bytes, more than %d", size, maxEnvironment)
	}
	return nil
}

// checkPolicy checks a resource policy, which names its principals.
func checkPolicy(document string) error {
	if document == "" {
		return nil
	}
	policy, err := iampolicy.Parse([]byte(document))
	if err != nil {
		return err
	}
	for _, s := range policy.Statements {
		if s.Principals == nil {
			return errors.New("a statement of the policy has no Principal")
		}
	}
	return nil
}
