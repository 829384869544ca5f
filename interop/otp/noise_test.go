//go:build !race

package otp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// noisy starts the port program with small bounds and writes noise to it, which stays open. It
// returns the program and what it writes.
func noisy(t *testing.T, program string, noise io.Reader) (*exec.Cmd, *io.PipeReader) {
	t.Helper()
	cmd := exec.Command(program, "otp-port", "-max-bytes", fmt.Sprint(16<<20), "-max-sessions", "100000")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, writer := io.Pipe()
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
	})
	go io.Copy(stdin, noise)
	go func() {
		cmd.Wait()
		writer.Close()
	}()
	return cmd, stdout
}

// Whatever comes in, the owner hears of it, also where the noise could still become a frame. How
// soon, internal/otpport tests in virtual time.
func TestProgramAnswersNoise(t *testing.T) {
	program := build(t)
	random := rand.NewChaCha8([32]byte{7})
	noises := map[string][]byte{"one byte": {1}, "almost a length": {0, 0, 1}, "a length": {0, 0, 0, 9}, "half a frame": []byte("\x00\x00\x00\x20abc")}
	for _, n := range []int{4, 7, 64, 1000, 1 << 16, 1 << 22} {
		noise := make([]byte, n)
		random.Read(noise)
		noises[fmt.Sprintf("%d random bytes", n)] = noise
	}
	for name, noise := range noises {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, stdout := noisy(t, program, bytes.NewReader(noise))
			var head [14]byte
			_, err := io.ReadFull(stdout, head[:])
			if err != nil || head[4] != 1 || head[5] != 3 {
				t.Errorf("answer %x, error %v, exit %v; want an error frame", head, err, cmd.ProcessState)
			}
			io.Copy(io.Discard, stdout)
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit status %d; want 1", code)
			}
		})
	}
}

// Frames that are right, and others, of more than the bounds allow.
func TestProgramsMemoryIsBoundedUnderGarbage(t *testing.T) {
	const total, maxResident = 512 << 20, 200 << 20
	random := rand.New(rand.NewChaCha8([32]byte{9}))
	noise, writer := io.Pipe()
	cmd, stdout := noisy(t, build(t), noise)
	go io.Copy(io.Discard, stdout)
	for sent := 0; sent < total; {
		size := 1 << random.IntN(20)
		frame := binary.BigEndian.AppendUint32(nil, uint32(10+8+8+size))
		frame = append(frame, 1, byte(1+random.IntN(8)))
		frame = binary.BigEndian.AppendUint64(frame, random.Uint64())
		frame = binary.BigEndian.AppendUint32(append(binary.BigEndian.AppendUint32(frame, 4), "host"...), 4)
		frame = append(binary.BigEndian.AppendUint32(frame, random.Uint32()), make([]byte, size)...)
		if _, err := writer.Write(frame); err != nil {
			t.Fatal(err)
		}
		sent += len(frame)
	}
	peak := peakResident(t, cmd.Process.Pid)
	t.Logf("peak resident set after %d MiB of garbage: %d MiB", total>>20, peak>>20)
	if peak > maxResident {
		t.Errorf("peak resident set %d bytes; want at most %d", peak, maxResident)
	}
}

var vmHWM = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func peakResident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := vmHWM.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %q", status)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
