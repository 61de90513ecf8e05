// main() of every test, and its watchdog: a test case that does not end within SHOAL_TEST_WATCHDOG_S seconds
// (default 300) ends the process by SIGALRM, and says which it was.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

char running_case[512];

extern "C" void on_alarm(int) {
    const char prefix[] = "\nWATCHDOG: this test case hangs: ";
    (void)!write(STDERR_FILENO, prefix, sizeof prefix - 1);
    (void)!write(STDERR_FILENO, running_case, strlen(running_case));
    (void)!write(STDERR_FILENO, "\n", 1);
    signal(SIGALRM, SIG_DFL);
    raise(SIGALRM);
}

unsigned watchdog_seconds() {
    const char* text = std::getenv("SHOAL_TEST_WATCHDOG_S");
    return text == nullptr ? 300U : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

#if __has_include(<catch2/catch_all.hpp>)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class Watchdog : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        ListenerBase::testCaseStarting(info);
        const std::string name(info.name);
        const std::size_t length = name.copy(running_case, sizeof running_case - 1);
        running_case[length] = '\0';
        struct sigaction action {};
        action.sa_handler = on_alarm;
        // SIGALRM stays unblocked while it is handled, so that raise() in the handler ends the process.
        action.sa_flags = SA_NODEFER;
        sigaction(SIGALRM, &action, nullptr);
        alarm(watchdog_seconds());
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        alarm(0);
        ListenerBase::testCaseEnded(stats);
    }
};

CATCH_REGISTER_LISTENER(Watchdog)

}  // namespace

int main(int argc, char** argv) { return Catch::Session().run(argc, argv); }
