// Replay-beam runs a sweep of package sweep as an Apache Beam pipeline, on one machine or
// on many. Its results are the bytes that replay sweep writes.
//
//	replay sweep --manifest m.json --cpus 2,4,8 a.parquet b.parquet
//	replay-beam --manifest m.json --output out
//
// The manifest's traces and the output are files here or in S3 or GCS (s3://, gs://),
// through Beam's file systems. Without other flags the pipeline runs on prism, Beam's
// embedded runner, in this process. README.md has the commands for a separate prism
// server, Flink and Dataflow.
//
//	replay-beam prism --port 8073     is a prism server
//	replay-beam worker --port 8074    is a worker for --environment_type=EXTERNAL
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"

	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs" // gs://
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/s3" // s3://
)

var (
	manifestFlag = flag.String("manifest", "", "`FILE` that replay sweep --manifest wrote")
	outputFlag   = flag.String("output", "", "`FOLDER` for the results, and for what is done")
	batchFlag    = flag.Int("cells", 0, "replay so many cells of a trace together, which is reconstructed once for them; 0 is all")
	triesFlag    = flag.Int("tries", 3, "how often a cell that fails is replayed, and a job that fails is submitted")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && (os.Args[1] == "prism" || os.Args[1] == "worker") {
		exit(serve(ctx, os.Args[1], os.Args[2:]))
	}
	flag.Parse()
	beam.Init() // a process that an engine starts as a worker ends here
	if exe, err := os.Executable(); err == nil && *jobopts.WorkerBinary == "" && runtime.GOOS == "linux" {
		*jobopts.WorkerBinary = exe // or else Beam compiles this program again, from its source
	}
	exit(submit(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "replay-beam:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve is a job server or a worker until it is interrupted.
func serve(ctx context.Context, what string, args []string) error {
	flags := flag.NewFlagSet(what, flag.ExitOnError)
	port := flags.Int("port", map[string]int{"prism": 8073, "worker": 8074}[what], "`PORT` to listen on, on this machine alone")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if what == "prism" {
		if _, err := prism.CreateJobServer(ctx, prism.Options{Port: *port}); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	beam.Init()
	worker, err := extworker.StartLoopback(ctx, *port)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return worker.Stop(context.WithoutCancel(ctx))
}

// submit runs the pipeline. A job that fails, such as for a worker that was killed where
// the engine does not give its work to another, is submitted again: what was done is
// found in the output and not done again.
func submit(ctx context.Context) error {
	job, err := loadJob(ctx, *manifestFlag, *outputFlag, *batchFlag, *triesFlag)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := beamx.Run(ctx, job.pipeline())
		if err == nil {
			return job.report(ctx)
		}
		if try >= *triesFlag || ctx.Err() != nil {
			return err
		}
		log.Warnf(ctx, "try %d of %d failed: %v", try, *triesFlag, err)
	}
}
