(function_definition) @def.function
(method_declaration) @def.method
(property_hook body: (_)) @def.method
(assignment_expression left: (_) right: [(anonymous_function) (arrow_function)]) @def.function
(class_declaration) @def.class
(interface_declaration) @def.interface
(trait_declaration) @def.trait
(enum_declaration) @def.enum
(function_call_expression function: (name) @call)
(function_call_expression function: (qualified_name (name) @call))
(member_call_expression name: (name) @call)
(nullsafe_member_call_expression name: (name) @call)
(scoped_call_expression name: (name) @call)
(object_creation_expression (name) @call)
(namespace_use_declaration) @import.use
(namespace_definition name: (namespace_name) @namespace)
(require_expression) @import.require
(require_once_expression) @import.require
(include_expression) @import.require
(include_once_expression) @import.require
(program (const_declaration (const_element (name) @constant)))
(namespace_definition body: (compound_statement (const_declaration (const_element (name) @constant))))
(comment) @comment
(binary_expression) @binary
