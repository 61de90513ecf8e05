// What a program does with a store in the corners of its life; lifecycle_test starts it: program DEED PATH. It
// exits with 0 when all was well. What its destructors have appended the test finds in the store.
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include <shoal/store.hpp>

extern char** environ;

namespace {

using shoal::Store;

// How many living slots this process has in the store.
std::size_t own_slots(const Store& store) {
    const auto all = store.attached();
    std::size_t count = 0;
    for (const shoal::Attached& each : *all) count += each.process_id == ::getpid() && each.alive;
    return count;
}

// Appends when it is destroyed, to a store of its own.
struct Farewell {
    std::optional<Store> store;
    std::string word;
    ~Farewell() {
        if (store) (void)store->append("farewell", word + ",");
    }
    void say(const std::string& path, const char* said) {
        store = *Store::attach(path);
        word = said;
    }
};

// Appends four times what memory holds when it is destroyed.
struct Flood {
    std::optional<Store> store;
    ~Flood() {
        for (int record = 0; store && record < 8'000; ++record) {
            if (!store->append("flood", std::string(4'000, 'f'))) std::abort();
        }
    }
};

Flood flood_at_exit;
thread_local Flood flood_at_thread_end;

Farewell at_exit;
thread_local Farewell at_thread_end;

bool static_destructors(const std::string& path) {
    at_exit.say(path, "static");
    at_thread_end.say(path, "main thread");
    std::thread([&] { at_thread_end.say(path, "thread"); }).join();
    return true;
}

// Spillers are at work while the stores that they belong to are destroyed, and those that append.
bool spills(const std::string& path) {
    at_exit.say(path, "static");
    flood_at_exit.store = *Store::attach(path);
    std::thread([&] { flood_at_thread_end.store = *Store::attach(path); }).join();
    static Store unused = *Store::attach(path);
    return flood_at_exit.store->spill().has_value() && unused.spill(1 << 20).has_value();
}

// The store is used by a thread that leaves by pthread_exit, and by a detached one that the end of main overtakes.
bool ends_of_threads(const std::string& path) {
    static Store store = *Store::attach(path);
    pthread_t thread{};
    const auto body = [](void*) -> void* {
        (void)store.append("farewell", "pthread_exit,");
        ::pthread_exit(nullptr);
    };
    if (::pthread_create(&thread, nullptr, body, nullptr) != 0 || ::pthread_join(thread, nullptr) != 0)
        return false;
    if (own_slots(store) != 0) return false;
    std::thread([] {
        (void)store.append("farewell", "detached,");
        while (true) ::pause();
    }).detach();
    while (store.get("farewell")->text().find("detached") == std::string_view::npos) std::this_thread::yield();
    return true;
}

bool runs(const char* const (&words)[4]) {
    pid_t child = 0;
    if (::posix_spawn(&child, words[0], nullptr, nullptr, const_cast<char* const*>(words), environ) != 0)
        return false;
    int status = 1;
    return ::waitpid(child, &status, 0) == child && status == 0;
}

// Other programs are started while the store is open; its descriptors are not theirs.
bool starts_others(const std::string& path) {
    auto store = Store::attach(path);
    if (!store->append("farewell", "before,")) return false;
    if (std::system(("ls -l /proc/self/fd | grep -q shoal- && exit 1; exit 0")) != 0) return false;
    if (!runs({"/bin/sh", "-c", "exit 0", nullptr})) return false;
    const pid_t child = ::vfork();
    if (child == 0) {
        ::execl("/bin/true", "true", nullptr);
        ::_exit(1);
    }
    int status = 1;
    if (::waitpid(child, &status, 0) != child || status != 0) return false;
    return own_slots(*store) == 1 && store->append("farewell", "after,").has_value();
}

// Becomes another program while it has a slot: that one finds the slot dead, or recovered, and the record there.
bool execs(const std::string& path) {
    auto store = Store::attach(path);
    if (!store->append("farewell", "exec,") || !store->view("farewell")) return false;
    ::execl("/proc/self/exe", "program", "after_exec", path.c_str(), nullptr);
    return false;
}

bool after_exec(const std::string& path) {
    auto store = Store::attach(path);
    if (own_slots(*store) != 0) return false;
    return store->append("farewell", "after exec,").has_value();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string deed = argv[1], path = argv[2];
    const bool good = deed == "static_destructors" ? static_destructors(path)
                      : deed == "spills"           ? spills(path)
                      : deed == "ends_of_threads"  ? ends_of_threads(path)
                      : deed == "starts_others"    ? starts_others(path)
                      : deed == "execs"            ? execs(path)
                      : deed == "after_exec"       ? after_exec(path)
                                                   : false;
    return good ? 0 : 1;
}
