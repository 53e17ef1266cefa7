// Package web serves the folders of runs to a browser: their report pages, and pprof's
// own web UI on each of their profiles.
//
//	/                                   all runs, side by side
//	/RUN/                               the page of one
//	/RUN/FILE                           a file of it
//	/RUN/PROFILE.pb.gz/                 pprof's UI on a profile: flamegraph, graph, top, peek
//	/RUN/PROFILE.pb.gz/vs/RUN/PROFILE.pb.gz/    the same of the difference to another one
//
// It reads the folders that it is given and nothing else: no name leads out of one, nor a
// symbolic link. pprof's views of sources and of machine code are left out, since they
// open files that a profile names. A folder is opened for each request, so that a run
// that was made anew shows.
//
// A browser lets any page send requests to this machine. [Server] answers those only
// that ask for it by an address or by localhost (others may be a name that was bound
// anew to this address), and that no page of another origin sent.
package web
