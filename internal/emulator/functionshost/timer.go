package functionshost

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Timer is what the host says of a timer that has fired.
type Timer struct {
	PastDue bool
	Status  *Status // nil: the host has kept none yet
	Encoded bool    // the timer is sent as a text that holds JSON
	Body    []byte  // sent instead of all that; nil: not
}

// Status is what the host remembers of a timer, as it writes it.
type Status struct{ Last, Next, LastUpdated string }

// body is that of an invocation, byte for byte as a host writes it. The number of the try begins at 0; the first has no
// RetryContext.
func (f function) body(name string, timer Timer, try int) []byte {
	if timer.Body != nil {
		return timer.Body
	}
	status := "null"
	if s := timer.Status; s != nil {
		status = fmt.Sprintf(`{"Last":%s,"Next":%s,"LastUpdated":%s}`, quote(s.Last), quote(s.Next), quote(s.LastUpdated))
	}
	info := fmt.Sprintf(`{"Schedule":{"AdjustForDST":true},"ScheduleStatus":%s,"IsPastDue":%t}`, status, timer.PastDue)
	if timer.Encoded {
		info = quote(info)
	}
	retry := ""
	if try > 0 {
		retry = fmt.Sprintf(`,"RetryContext":{"RetryCount":%d,"MaxRetryCount":%d}`, try, f.retries)
	}
	return fmt.Appendf(nil, `{"Data":{%s:%s},"Metadata":{"sys":{"MethodName":%s,"UtcNow":"%s","RandGuid":"%s"}%s}}`,
		quote(f.binding), info, quote(name), time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), wire.NewID(), retry)
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has JSON
	}
	return string(quoted)
}
