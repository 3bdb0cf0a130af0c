package cronimport

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// VercelOptions say what a vercel.json does not.
type VercelOptions struct {
	// BaseURL is where the application is: "https://shop.example.com".
	BaseURL string
	// SecretEnv is the environment variable with the secret that the application expects; "" is CRON_SECRET. Its value is
	// not read here, and is in no message.
	SecretEnv string
}

// ErrBaseURL says that VercelOptions.BaseURL cannot be used.
var ErrBaseURL = errors.New("the base URL must be such as https://shop.example.com, with no user, query or fragment")

// Vercel reads the crons of a vercel.json. Their times are UTC. Each becomes a GET of its path below BaseURL,
// with the secret as "Authorization: Bearer". Without a usable BaseURL the error is [ErrBaseURL].
func Vercel(r io.Reader, opts VercelOptions) (*Import, error) {
	base, err := url.Parse(opts.BaseURL)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return nil, ErrBaseURL
	}
	text, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("read a vercel.json: %w", err)
	}
	var file struct {
		Crons []struct{ Path, Schedule *string } `json:"crons"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("read a vercel.json: %w", err)
	}
	im, err := newImporter("UTC")
	if err != nil {
		return nil, err
	}
	im.Notes = []string{
		"a request that fails is tried again; Vercel does not do that",
		"remove each entry from vercel.json, and deploy, when its schedule takes over: else it runs twice",
	}
	if opts.SecretEnv == "" {
		opts.SecretEnv = "CRON_SECRET"
	}
	for i, c := range file.Crons {
		source := fmt.Sprintf("crons[%d]", i)
		if c.Path == nil || c.Schedule == nil {
			im.leave(source, "", "it has no path or no schedule")
			continue
		}
		entryText := *c.Schedule + " " + *c.Path
		path, err := url.Parse(*c.Path)
		if err != nil || !strings.HasPrefix(*c.Path, "/") || path.Host != "" {
			im.leave(source, entryText, "its path does not begin with one /, or is no path of a URL")
			continue
		}
		if len(strings.Fields(*c.Schedule)) != 5 {
			im.leave(source, entryText, "its schedule does not have five fields")
			continue
		}
		im.add(entry{
			Job: Job{
				Expression:  *c.Schedule,
				ContentType: "application/json",
				Body:        []byte("{}"),
				Handler:     Handler{Method: "GET", URL: strings.TrimSuffix(opts.BaseURL, "/") + *c.Path, BearerEnv: opts.SecretEnv},
				Source:      source,
			},
			stem: slug(*c.Path), same: *c.Path, text: entryText,
		})
	}
	return im.done(), nil
}
