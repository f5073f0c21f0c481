"""Factories: options, the classes that hold them, and the register of what can be chosen.

A factory is a frozen dataclass: its fields are everything a user may choose, and its `build(...)`
takes what is only known at run time and returns the real thing:

    @factory("mlp")
    class MlpFactory(ModelFactory[ImageDims]):
        '''Multilayer perceptron.'''

        width: int = option(default=64, ge=1, doc="width of the hidden layer")

        def build(self, dims: ImageDims) -> nn.Module: ...

`@factory(name)` makes the frozen dataclass, enforces the rules (documented, keyword-only, a
`build`), and registers it in the group of its base class: the class above is `model=mlp`.
`@settings` makes one of options that do not belong to a group (`opt`, `training`, …).
"""

from runwright.factory.option import Option as Option
from runwright.factory.option import described as described
from runwright.factory.option import full_key as full_key
from runwright.factory.option import option as option
from runwright.factory.register import CONFIG_GROUPS as CONFIG_GROUPS
from runwright.factory.register import factory as factory
from runwright.factory.register import settings as settings
from runwright.factory.register import with_own_keys as with_own_keys
from runwright.factory.settings import OptionError as OptionError
from runwright.factory.settings import Settings as Settings
from runwright.factory.settings import all_settings as all_settings
from runwright.factory.settings import broken_rules as broken_rules
from runwright.factory.settings import choice as choice
from runwright.factory.settings import group_of as group_of
from runwright.factory.settings import is_settings as is_settings
from runwright.factory.settings import mistyped as mistyped
from runwright.factory.settings import name_of as name_of
from runwright.factory.settings import settings_in as settings_in
from runwright.factory.settings import summary as summary
from runwright.factory.settings import type_argument as type_argument
from runwright.factory.settings import usual_members as usual_members
