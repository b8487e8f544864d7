(public_field_definition value: [(arrow_function) (function_expression) (generator_function)]) @def.function
(function_signature) @def.function
(method_signature) @def.method
(abstract_method_signature) @def.method
(abstract_class_declaration) @def.class
(interface_declaration) @def.interface
(enum_declaration) @def.enum
(type_alias_declaration) @def.type
(internal_module) @def.module
(module) @def.module
