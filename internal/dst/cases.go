package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expressions returns 300 expressions: every hour of the day as times on the wall and as intervals, because zones
// change their clocks at all hours, and days that come seldom.
func expressions() []string {
	var all []string
	for h := range 24 {
		next := (h + 1) % 24
		all = append(all,
			fmt.Sprintf("0 %d * * *", h),
			fmt.Sprintf("30 %d * * *", h),
			fmt.Sprintf("59 %d * * *", h),
			fmt.Sprintf("15,45 %d * * *", h),
			fmt.Sprintf("0,30 %d,%d * * *", h, next),
			fmt.Sprintf("*/15 %d * * *", h),
			fmt.Sprintf("20 %d-%d * * *", h, next),
			fmt.Sprintf("10 %d/6 * * *", h),
			fmt.Sprintf("5-50/9 %d * * *", h),
		)
	}
	for _, time := range []string{"0 0", "30 2", "0,15 1,3", "*/20 *", "45 0-6/2", "0 22-3"} {
		for _, days := range []string{"* * 0", "* * 6,0", "L * *", "LW * *", "15W * *", "* * 0#2", "* * 0L", "*/2 * *", "13 * 5", "* 3,10 *", "25-5 4-9 *", "*/2 * 1-5"} {
			all = append(all, time+" "+days)
		}
	}
	return append(all,
		"* * * * *", "*/5 * * * *", "0 * * * *", "30 * * * *", "0,30 * * * *", "0 */2 * * *",
		"17 */5 * * *", "*/7 * * * *", "50-10 * * * *", "* 1-2 * * *", "45 12 * * *", "59 23 31 12 *")
}

// wholeExpressions are those for whole years.
func wholeExpressions() []string {
	return []string{
		"* * * * *", "*/5 * * * *", "0 * * * *", "30 */2 * * *", "*/20 1-3 * * *", "0 22-2 * * *",
		"0 0 * * *", "30 0 * * *", "30 1 * * *", "30 2 * * *", "0,30 1,2,3 * * *", "15 3 * * *", "59 23 * * *",
		"0 0 L * *", "0 2 LW * *", "30 2 * * 0#2", "0 1 * * 0L", "0 0 13 * 5", "0 3 15W * *", "0 0 29 2 *",
	}
}

// wholeZones have each kind of change: of an hour, of half an hour, at midnight, twice a year and for
// Ramadan, and none.
var wholeZones = []string{
	"Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "America/Asuncion", "America/Havana", "America/New_York",
	"America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/St_Johns", "Antarctica/Troll", "Asia/Beirut",
	"Asia/Gaza", "Asia/Kolkata", "Asia/Tehran", "Atlantic/Azores", "Australia/Lord_Howe", "Europe/Berlin",
	"Europe/Chisinau", "Pacific/Chatham",
}

// zoneNames returns the names of all zones of this machine, and where they are.
func zoneNames() (names []string, dir string, err error) {
	dirs := []string{os.Getenv("ZONEINFO"), "/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"}
	found := slices.IndexFunc(dirs, isDir)
	if found < 0 {
		return nil, "", errors.New("this machine has no time zone data: run scripts/ensure.sh zones")
	}
	dir = dirs[found]
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
		if d.IsDir() {
			if name == "posix" || name == "right" { // copies of all, the second with leap seconds
				return fs.SkipDir
			}
			return nil
		}
		// Links are zones, too; other files are tables and notes.
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.HasPrefix(content, []byte("TZif")) && name != "localtime" && name != "posixrules" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("list the zones in %s: %w", dir, err)
	}
	return names, dir, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return path != "" && err == nil && info.IsDir()
}
