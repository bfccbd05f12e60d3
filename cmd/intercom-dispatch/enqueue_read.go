package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

const (
	// readBuffer bounds how much is read ahead for a batch, but for its last
	// line.
	readBuffer = 256 << 10
	// maxLine bounds what a line may take in memory. The longest message with
	// everything else in a line is shorter.
	maxLine = 2 * intercom.MaxMessageBytes
)

// batch is the lines that were there when the input was looked at, and the
// beginning of no other: a line never waits for the rest of the next.
type batch struct {
	lines []inputLine
	read  int // bytes of input

	// parse sets these and closes parsed.
	parsed   chan struct{}
	results  []lineResult
	requests []enqueue.Request
	places   []int // of the requests in the results
}

// inputLine is a line as it was read.
type inputLine struct {
	number int
	text   []byte
	size   int // bytes of input, also where text was cut
}

func (l inputLine) tooLong() bool { return l.size > maxLine }

// parse reads the lines' requests and lets go of their text.
func (b *batch) parse() {
	defer close(b.parsed)
	b.results = make([]lineResult, len(b.lines))
	for i, l := range b.lines {
		b.results[i].Line = l.number
		r, err := parseLine(l)
		b.results[i].Key = r.Key
		if err != nil {
			b.results[i].fail(err, lineInvalid)
			continue
		}
		b.requests, b.places = append(b.requests, r), append(b.places, i)
	}
	b.lines = nil
}

func parseLine(l inputLine) (enqueue.Request, error) {
	if l.tooLong() {
		return enqueue.Request{}, fmt.Errorf("the line has %d bytes; a message has at most %d", l.size, intercom.MaxMessageBytes)
	}
	return enqueue.ParseLine(l.text)
}

// byteOrderMark is what some editors put before the first line.
var byteOrderMark = []byte("\ufeff")

// readBatches passes on the lines that are not blank, until each returns false.
func readBatches(in io.Reader, each func(*batch) bool) error {
	r := bufio.NewReaderSize(in, readBuffer)
	next := &batch{parsed: make(chan struct{})}
	for number := 1; ; number++ {
		text, size, err := readLine(r)
		if number == 1 {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		next.read += size
		if len(bytes.TrimSpace(text)) > 0 || size > maxLine {
			next.lines = append(next.lines, inputLine{number: number, text: text, size: size})
		}
		if len(next.lines) > 0 && (err != nil || !lineBuffered(r)) {
			if !each(next) {
				return nil
			}
			next = &batch{parsed: make(chan struct{})}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lineBuffered tells whether a line can be read without waiting.
func lineBuffered(r *bufio.Reader) bool {
	buffered, _ := r.Peek(r.Buffered())
	return bytes.IndexByte(buffered, '\n') >= 0
}

// readLine reads one line, of which it keeps no more than maxLine bytes.
func readLine(r *bufio.Reader) (text []byte, size int, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += len(part)
		if size <= maxLine+1 {
			text = append(text, part...)
		} else {
			text = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, size, err
		}
	}
}

// readLines passes on the lines that are not blank, until each returns false.
func readLines(in io.Reader, each func(inputLine) bool) error {
	return readBatches(in, func(b *batch) bool {
		for _, l := range b.lines {
			if !each(l) {
				return false
			}
		}
		return true
	})
}
