package traces

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// pairs returns the key-value metadata of the file.
func (m Meta) pairs() ([][2]string, error) {
	sources, err := jsonList(m.Sources)
	if err != nil {
		return nil, fmt.Errorf("replay.sources: %w", err)
	}
	warnings, err := jsonList(m.Warnings)
	if err != nil {
		return nil, fmt.Errorf("replay.warnings: %w", err)
	}
	recorded, err := jsonList(m.Recorded)
	if err != nil {
		return nil, fmt.Errorf("replay.recorded: %w", err)
	}
	unknown, err := jsonList(m.Unknown)
	if err != nil {
		return nil, fmt.Errorf("replay.unknown: %w", err)
	}
	return [][2]string{
		{"replay.schema", strconv.Itoa(Schema)},
		{"replay.clock", m.Clock},
		{"replay.cpus", strconv.Itoa(m.CPUs)},
		{"replay.kernel", m.Kernel},
		{"replay.arch", m.Arch},
		{"replay.sources", sources},
		{"replay.lost", strconv.FormatInt(m.Lost, 10)},
		{"replay.warnings", warnings},
		{"replay.recorded", recorded},
		{"replay.unknown", unknown},
	}, nil
}

// jsonList marshals a list, an absent one as [].
func jsonList[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(list)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// parseMeta reads the replay.* metadata.
func parseMeta(p *parquet.File) (m Meta, err error) {
	schema, ok := p.Lookup("replay.schema")
	if !ok {
		return m, fmt.Errorf("%w: no replay.schema in the metadata: a Parquet file, but no trace; make one with replay ingest", ErrUnsupported)
	}
	number := func(key string) (n int64) {
		text, ok := p.Lookup(key)
		if !ok || err != nil {
			return 0
		}
		if n, err = strconv.ParseInt(text, 10, 64); err != nil || n < 0 {
			err = fmt.Errorf("%w: metadata %s is %q, not a count; ingest the capture again", ErrCorrupt, key, text)
		}
		return n
	}
	list := func(key string, to any) {
		text, ok := p.Lookup(key)
		if !ok || err != nil {
			return
		}
		if e := json.Unmarshal([]byte(text), to); e != nil {
			err = fmt.Errorf("%w: metadata %s is no JSON list: %w; ingest the capture again", ErrCorrupt, key, e)
		}
	}
	if m.Schema = int(number("replay.schema")); err == nil && m.Schema != Schema {
		return m, fmt.Errorf("%w: replay.schema is %s and this version reads %d; use the replay that wrote it", ErrUnsupported, schema, Schema)
	}
	m.Clock, _ = p.Lookup("replay.clock")
	m.CPUs = int(number("replay.cpus"))
	m.Kernel, _ = p.Lookup("replay.kernel")
	m.Arch, _ = p.Lookup("replay.arch")
	m.Lost = number("replay.lost")
	list("replay.sources", &m.Sources)
	list("replay.warnings", &m.Warnings)
	list("replay.recorded", &m.Recorded)
	list("replay.unknown", &m.Unknown)
	if len(m.Sources) == 0 {
		m.Sources = nil
	}
	if len(m.Warnings) == 0 {
		m.Warnings = nil
	}
	if len(m.Recorded) == 0 {
		m.Recorded = nil
	}
	if len(m.Unknown) == 0 {
		m.Unknown = nil
	}
	return m, err
}
