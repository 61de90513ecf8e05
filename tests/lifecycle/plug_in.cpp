// What a plug-in does that uses shoal: the program that loads it knows this one function.
#include <shoal/store.hpp>

extern "C" __attribute__((visibility("default"))) int use_shoal() {
    auto store = shoal::Store::in_memory();
    return store && store->append("key", "value") && store->get("key")->text() == "value" ? 1 : 0;
}
