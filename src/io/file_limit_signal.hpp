// While it lives, a write of this thread beyond ulimit -f (RLIMIT_FSIZE) is an EFBIG only: the SIGXFSZ that the
// kernel sends with it, which would end the process, is taken out before anyone gets it.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <ctime>

namespace shoal {

class FileLimitSignalHeld {
public:
    FileLimitSignalHeld() noexcept {
        ::sigemptyset(&signal_);
        ::sigaddset(&signal_, SIGXFSZ);
        ::pthread_sigmask(SIG_BLOCK, &signal_, &before_);
    }
    FileLimitSignalHeld(const FileLimitSignalHeld&) = delete;
    FileLimitSignalHeld& operator=(const FileLimitSignalHeld&) = delete;
    ~FileLimitSignalHeld() {
        if (::sigismember(&before_, SIGXFSZ) == 1) return;  // the caller's to deal with
        const timespec at_once{};
        ::sigtimedwait(&signal_, nullptr, &at_once);
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    sigset_t signal_;
    sigset_t before_;
};

}  // namespace shoal
