package aws

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// schedule is when a secret rotates.
type schedule struct {
	text              string
	shortest, longest time.Duration // between two rotations; 0: not known
}

const (
	leastHours  = 4 // between two rotations
	hoursPerDay = 24
)

var (
	rateExpression = regexp.MustCompile(`^rate\(([1-9][0-9]*) (minute|hour|day)s?\)$`)
	cronExpression = regexp.MustCompile(`^cron\((.*)\)$`)
	windowHours    = regexp.MustCompile(`^([1-9][0-9]?)h$`)
)

// parseSchedule reads the rules of a rotation. The error says what Secrets Manager does not allow ("Schedule expressions"
// in its user guide): rates of 4 hours or more; cron with minute 0 and any year; windows inside the day, in UTC.
func parseSchedule(rules *types.RotationRulesType) (schedule, error) {
	s := schedule{text: aws.ToString(rules.ScheduleExpression)}
	last := 0 // the last hour of a day in which a window opens
	rate, cron := rateExpression.FindStringSubmatch(s.text), cronExpression.FindStringSubmatch(s.text)
	switch {
	case s.text == "":
		days := aws.ToInt64(rules.AutomaticallyAfterDays)
		s.text = fmt.Sprintf("every %d days", days)
		s.shortest = time.Duration(days) * hoursPerDay * time.Hour
		s.longest = s.shortest
	case rate != nil:
		n, _ := strconv.Atoi(rate[1])
		s.shortest = time.Duration(n) * map[string]time.Duration{"minute": time.Minute, "hour": time.Hour,
			"day": hoursPerDay * time.Hour}[rate[2]]
		s.longest = s.shortest
	case cron != nil:
		fields := strings.Fields(cron[1])
		if len(fields) != cronFields || fields[0] != "0" || fields[5] != "*" {
			return s, fmt.Errorf("the schedule %s has not six fields with minute 0 and year *", s.text)
		}
		times, ok := parseCron(fields)
		if !ok {
			return s, nil
		}
		s.shortest, s.longest = times.gaps()
		last = times.lastHour()
	default:
		return s, fmt.Errorf("the schedule %s is neither rate(…) nor cron(…)", s.text)
	}
	if s.shortest > 0 && s.shortest < leastHours*time.Hour {
		return s, fmt.Errorf("the schedule %s is more often than every %d hours", s.text, leastHours)
	}
	return s, s.addWindow(aws.ToString(rules.Duration), last)
}

// addWindow checks the length of a window that opens at an hour of the day.
func (s *schedule) addWindow(duration string, opens int) error {
	if duration == "" {
		return nil
	}
	found := windowHours.FindStringSubmatch(duration)
	if found == nil {
		return fmt.Errorf("the window %s is not a number of hours such as 3h", duration)
	}
	s.text += ", in a window of " + duration
	hours, _ := strconv.Atoi(found[1])
	switch {
	case opens+hours > hoursPerDay:
		return errors.New("the window reaches into the next day (UTC)")
	case s.shortest > 0 && time.Duration(hours)*time.Hour > s.shortest:
		return errors.New("the window reaches into the next one")
	}
	return nil
}
