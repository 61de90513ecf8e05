// What the command's exit status means; scripts rely on it, so a number never changes its meaning.
#pragma once

namespace shoal::tool {

enum ExitCode : int {
    kOk = 0,
    kNo = 1,           // a negative answer: no such key
    kWrongUse = 2,     // the command line is wrong; nothing was touched
    kStoreError = 3,   // no store there, its limit is reached, or it is damaged, incompatible, gone or destroyed
    kSystemError = 4,  // the operating system refused: permission, a full disk, an input or output error
    kBadInput = 5,     // the input data are not what they should be
};

}  // namespace shoal::tool
