package intercomtest

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"time"
)

// faultRequest is a Fault in the control API.
type faultRequest struct {
	Name          string            `json:"name"`
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	Contact       string            `json:"contact"`
	Nth           int               `json:"nth"`
	Every         int               `json:"every"`
	Chance        float64           `json:"chance"`
	Times         int               `json:"times"`
	Latency       duration          `json:"latency"`
	Status        int               `json:"status"`
	Body          string            `json:"body"`
	NoBody        bool              `json:"no_body"`
	Header        map[string]string `json:"header"`
	NoRateHeaders bool              `json:"no_rate_headers"`
	AfterCreate   bool              `json:"after_create"`
	Cut           string            `json:"cut"`
}

// cutNames are the CutPoints in the control API.
var cutNames = []string{NoCut: "", CutBeforeCreate: "before_create", CutAfterCreate: "after_create", CutInBody: "in_body"}

func (c control) faults(r *http.Request) (int, any, error) {
	req, err := decodeControl[faultRequest](r)
	if err != nil {
		return 0, nil, err
	}
	f, err := req.fault()
	if err == nil {
		c.s.InjectFault(f)
	}
	return http.StatusCreated, map[string]string{}, err
}

func (c control) clearFaults(*http.Request) (int, any, error) {
	c.s.ClearFaults()
	return http.StatusNoContent, nil, nil
}

func (r faultRequest) fault() (Fault, error) {
	cut := slices.Index(cutNames, r.Cut)
	switch {
	case cut < 0:
		return Fault{}, fmt.Errorf("cut must be one of before_create, after_create and in_body, not %q", r.Cut)
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return Fault{}, fmt.Errorf("status must be from 200 to 599, not %d", r.Status)
	case r.Chance < 0 || r.Chance > 1:
		return Fault{}, fmt.Errorf("chance must be from 0 to 1, not %v", r.Chance)
	}
	if _, err := path.Match(r.Path, ""); err != nil {
		return Fault{}, fmt.Errorf("path must be a pattern: %w", err)
	}
	header := make(http.Header)
	for name, value := range r.Header {
		header.Set(name, value)
	}
	return Fault{
		Name: r.Name, Method: r.Method, Path: r.Path, Contact: r.Contact,
		Nth: r.Nth, Every: r.Every, Chance: r.Chance, Times: r.Times,
		Latency: time.Duration(r.Latency), Status: r.Status, Body: r.Body, NoBody: r.NoBody, Header: header,
		NoRateHeaders: r.NoRateHeaders, AfterCreate: r.AfterCreate, Cut: CutPoint(cut),
	}, nil
}
