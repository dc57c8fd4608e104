package helmrelease

import (
	"net/http"
	"strconv"
	"time"
)

// lastAnswer returns an answer that asks for another try at a time after the deadline. The client would wait until the deadline,
// and its error would not say what was answered.
type lastAnswer struct{ next http.RoundTripper }

func (l lastAnswer) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	const after = "Retry-After"
	seconds, notNumber := strconv.Atoi(response.Header.Get(after))
	if deadline, bounded := request.Context().Deadline(); bounded && notNumber == nil &&
		time.Until(deadline) <= time.Duration(seconds)*time.Second {
		response.Header.Del(after)
	}
	return response, nil
}
