package cron

import "time"

// days are the two day fields.
type days struct {
	ofMonth, ofWeek set
	beforeLast      set    // L is 0, L-3 is 3
	nearest         set    // 15W is 15
	lastWeekday     bool   // LW
	nth             [5]set // FRI#2 is 5 in the second of them
	lastOf          set    // FRIL is 5
	either          bool   // a day that matches one of the fields is enough
}

// in returns the days of a month that match, which begins with the given weekday.
func (d *days) in(y, m int, begins time.Weekday) set {
	n := daysIn(y, m)
	month, week := d.monthDays(n, int(begins)), d.weekDays(n, int(begins))
	var all set
	if d.either {
		all[0] = month | week
	} else {
		all[0] = month & week
	}
	return all
}

// monthDays returns the days that the day of month chooses among n, as bits.
func (d *days) monthDays(n, begins int) uint64 {
	chosen := d.ofMonth
	for back := d.beforeLast.next(0); back >= 0 && back < n; back = d.beforeLast.next(back + 1) {
		chosen.add(n - back)
	}
	for near := d.nearest.next(1); near > 0 && near <= n; near = d.nearest.next(near + 1) {
		chosen.add(nearestWeekday(near, n, begins))
	}
	if d.lastWeekday {
		chosen.add(nearestWeekday(n, n, begins))
	}
	return chosen[0] & existing(n)
}

// weekDays returns the days that the day of week chooses among n, as bits.
func (d *days) weekDays(n, begins int) uint64 {
	const weekly = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	var chosen uint64
	for weekday := range 7 {
		date := 1 + (weekday-begins+7)%7 // the first one
		if d.ofWeek.has(weekday) {
			chosen |= weekly << date
		}
		for i := range d.nth {
			if d.nth[i].has(weekday) {
				chosen |= 1 << (date + 7*i)
			}
		}
		if d.lastOf.has(weekday) {
			chosen |= 1 << (date + (n-date)/7*7)
		}
	}
	return chosen & existing(n)
}

// nearestWeekday returns the day from Monday to Friday that is nearest to a day, in the same month.
func nearestWeekday(date, n, begins int) int {
	switch time.Weekday((begins + date - 1) % 7) {
	case time.Saturday:
		if date == 1 {
			return 3
		}
		return date - 1
	case time.Sunday:
		if date == n {
			return date - 2
		}
		return date + 1
	}
	return date
}

// existing has the bits from 1 to n.
func existing(n int) uint64 { return 1<<(n+1) - 2 }

func daysIn(y, m int) int {
	switch m {
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
