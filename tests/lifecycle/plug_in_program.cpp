// Loads a plug-in that uses the shared library, calls it from a thread, and closes it before that thread ends: what
// shoal does at a thread's end must still be there. The plug-in's path is the argument; exits with 0 when all was
// well.
#include <dlfcn.h>

#include <cstdio>
#include <future>
#include <thread>

int main(int count, char** arguments) {
    if (count != 2) return 2;
    void* plug_in = ::dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (plug_in == nullptr) {
        std::fprintf(stderr, "%s\n", ::dlerror());
        return 1;
    }
    using Use = int();
    auto* use = reinterpret_cast<Use*>(::dlsym(plug_in, "use_shoal"));
    if (use == nullptr) return 1;
    std::promise<int> used;
    std::promise<void> closed;
    std::thread thread([&] {
        used.set_value(use());
        closed.get_future().wait();
    });
    const int went_well = used.get_future().get();
    ::dlclose(plug_in);
    closed.set_value();
    thread.join();
    return went_well == 1 ? 0 : 1;
}
