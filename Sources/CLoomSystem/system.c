#include "loomsystem.h"
